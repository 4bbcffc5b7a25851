using IlgpuSparse.Cli.Benchmarks;

namespace IlgpuSparse.Tests.Cli.Benchmarks;

public class AttentionBaselineTests
{
    private static readonly string[] s_lines =
    [
        """{"what": "copy", "gbps": 2812.4}""",
        """{"what": "sdpa", "backend": "flash", "hq": 32, "hk": 8, "s": 4096, "us": 25.5, "gbps": 600.1}""",
        "",
        """{"what": "sdpa", "backend": "cudnn", "hq": 32, "hk": 8, "s": 4096, "us": 20.0, "gbps": 800.5}""",
        """{"what": "sdpa", "backend": "cudnn", "hq": 32, "hk": 32, "s": 4096, "error": "No available kernel"}""",
        """{"what": "torch-double-sparsity", "hq": 32, "hk": 8, "s": 4096, "us": 300.0, "best_sdpa_us": 20.0}""",
        """{"what": "decode-llama-2-7b", "s": 2048, "us": 9000.0}""",
    ];

    [Fact]
    public void The_fastest_time_of_a_shape_counts_and_failures_do_not()
    {
        var baseline = AttentionBaseline.Parse(s_lines, "here");
        Assert.Equal(20, baseline.Sdpa(32, 8, 4096));
        Assert.Equal(300, baseline.DoubleSparsity(32, 8, 4096));
        Assert.Null(baseline.Sdpa(32, 32, 4096));
        Assert.Null(baseline.Sdpa(32, 8, 8192));
    }

    [Fact]
    public void Only_steps_of_the_same_kind_are_compared()
    {
        var baseline = AttentionBaseline.Parse(s_lines, "here");
        var row = new BenchRow
        {
            What = "step",
            Heads = 32,
            KvHeads = 8,
            HeadDim = 128,
            Context = 4096,
            Batch = 1,
            KvFormat = "f16",
            Attention = "double-sparsity:tokens=1/16",
            Launched = new Timing(80, 1, 30),
            Graph = new Timing(10, 1, 30),
        };
        var compared = baseline.Compare(row);
        Assert.Equal(0.5, compared.OverSdpa);
        Assert.Equal(2, compared.SpeedUp);
        Assert.Equal(30, compared.OverTorch);
        Assert.Null(baseline.Compare(row with { Attention = "dense" }).OverTorch);
        Assert.Null(baseline.Compare(row with { Batch = 8 }).SdpaMicroseconds);
        Assert.Null(baseline.Compare(row with { KvFormat = "bf16" }).SdpaMicroseconds);
        Assert.Null(baseline.Compare(row with { HeadDim = 64 }).SdpaMicroseconds);
        Assert.Null(baseline.Compare(row with { What = "attend" }).SdpaMicroseconds);
    }

    [Theory]
    [InlineData("not json", "line 1")]
    [InlineData("""{"us": 3}""", "line 1")]
    [InlineData("""{"what": "sdpa", "hq": 32, "hk": 8, "s": 4096, "us": 0}""", "a time of 0")]
    [InlineData("""{"what": "sdpa", "hq": "many", "hk": 8, "s": 4096, "us": 1}""", "line 1")]
    [InlineData("""{"what": "copy", "gbps": 2812.4}""", "no baseline")]
    public void Other_files_are_refused(string text, string message) =>
        Assert.Contains(message, Assert.Throws<FormatException>(() => AttentionBaseline.Parse([text], "here")).Message);
}
