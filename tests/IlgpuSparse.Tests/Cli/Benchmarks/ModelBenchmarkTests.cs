using IlgpuSparse.Attention;
using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Cli.Benchmarks;

public sealed class ModelBenchmarkTests
{
    private static readonly LlamaConfig s_config = ModelShapes.Find("llama-3-8b", layers: 2) with { VocabularySize = 300, HiddenSize = 128, IntermediateSize = 256, Heads = 4, KvHeads = 2, HeadDim = 32 };
    private readonly int _seed = Random.Shared.Next();

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    public void Prefill_is_checked_and_timed(int experts)
    {
        var backend = new CpuBackend(2);
        var config = s_config with { Experts = experts, ActiveExperts = experts / 2 };
        using (backend)
        using (var benchmark = Benchmark(backend, config))
        {
            var rows = benchmark.MeasurePrefill(new ModelConfiguration(100, 1, AttentionOptions.Parse("double-sparsity:tokens=1/4,channels=16")));
            Assert.Equal(["prefill", "labels"], rows.Select(r => r.What));
            Assert.True(rows[0].Problem is null, $"seed {_seed}: {rows[0].Problem}");
            Assert.InRange(rows[0].Error!.Value, 0, 1e-2);
            Assert.Equal(100, rows[0].Tokens);
            Assert.True(rows[0].TokensPerSecond > 0 && rows[1].Part > 0);
            // every matrix but embedding and output, of the experts the active ones, and half of the pairs
            long weights = WeightPlan.Of(config).Where(w => w.Shape.Length == 2 && w.Name.StartsWith("model.layers", StringComparison.Ordinal))
                .Where(w => !w.Name.Contains("experts.2", StringComparison.Ordinal) && !w.Name.Contains("experts.3", StringComparison.Ordinal)).Sum(w => w.Shape[0] * w.Shape[1]);
            Assert.Equal(2.0 * 100 * weights + 2 * 2.0 * 100 * 100 * 4 * 32, rows[0].Operations);
            Assert.Equal(["prefill"], benchmark.MeasurePrefill(new ModelConfiguration(3, 1, AttentionOptions.Dense)).Select(r => r.What));
        }
        Assert.Equal(0, backend.Memory.LiveBytes);
    }

    [Theory]
    [InlineData("dense", 1)]
    [InlineData("double-sparsity:tokens=1/8,channels=16", 3)]
    public void Decode_is_checked_and_timed(string attention, int batch)
    {
        using var backend = new CpuBackend(2);
        using var benchmark = Benchmark(backend, s_config);
        var row = Assert.Single(benchmark.MeasureDecode(new ModelConfiguration(6000, batch, AttentionOptions.Parse(attention))));
        Assert.True(row.Problem is null, $"seed {_seed}: {row.Problem}");
        Assert.Equal(batch, row.Tokens);
        Assert.True(row.TokensPerSecond > 0 && row.GigabytesPerSecond > 0 && row.Share > 0);
        Assert.Equal("llama-3-8b q8_0, 2 layers", row.Model);
        // what no plan counts (lists, a worker's scratch where it got work) weighs more in a small model
        Assert.InRange(row.OverPlan!.Value, 0.98, 1.1);
    }

    [Fact]
    public void A_model_that_computes_wrong_is_not_timed()
    {
        using var backend = new FaultyBackend("append");
        using var benchmark = Benchmark(backend, s_config);
        foreach (var row in benchmark.MeasurePrefill(new(50, 1, AttentionOptions.Dense)).Concat(benchmark.MeasureDecode(new(50, 1, AttentionOptions.Dense))))
        {
            Assert.True(row.Failed);
            Assert.Contains("one by one", row.Problem);
            Assert.Null(row.Microseconds);
        }
    }

    [Fact]
    public void Rates_of_PyTorch_are_read_and_compared()
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, """
                {"what": "copy", "gbps": 3000}
                {"what": "decode-llama-2-7b", "s": 2048, "us": 7374.6, "tokens_per_s": 135.6}
                {"what": "prefill-layer", "s": 4096, "us": 3000, "tflops": 607.0}
                """);
            var baseline = ModelBaseline.Load(path);
            var row = new BenchRow { What = "decode", Model = "llama-2-7b f16, 32 layers", Context = 2048, Batch = 1, Tokens = 1, Launched = new Timing(5000, 0, 1) };
            Assert.Equal(200 / 135.6, baseline.Compare(row).OverPyTorch!.Value, 1e-9);
            // of steps that follow one another on the device, where there are such
            Assert.Equal(250 / 135.6, baseline.Compare(row with { Queued = new Timing(4000, 0, 1) }).OverPyTorch!.Value, 1e-9);
            Assert.Null(baseline.Compare(row with { Batch = 2 }).PyTorch);
            Assert.Null(baseline.Compare(row with { Model = "llama-2-7b q4_k, 32 layers" }).PyTorch);
            Assert.Equal(0.5, baseline.Compare(row with { What = "prefill", Context = 4096, Tokens = 4096, Operations = 303.5e12 / 1e6 * 5000 }).OverPyTorch!.Value, 1e-9);
            File.WriteAllText(path, "{\"what\": \"copy\"}");
            Assert.Contains("holds no baseline", Assert.Throws<FormatException>(() => ModelBaseline.Load(path)).Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private ModelBenchmark Benchmark(ComputeBackend backend, LlamaConfig config) => new(
        new BenchSession(backend, new BenchSettings(2, _seed, 0), new Yardstick("read", 1 << 20, new Timing(100, 0, 1)), row => row, _ => { }, CancellationToken.None),
        config, "llama-3-8b", WeightFormat.Q8_0, KvFormat.F16, chunk: 0);
}
