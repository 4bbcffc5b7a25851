using IlgpuSparse.Attention;
using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Tests.Gpu;

namespace IlgpuSparse.Tests.Cli.Benchmarks;

[Collection("accelerators")]
public sealed class AttentionBenchmarkTests(Accelerators accelerators)
{
    private static readonly HeadLayout s_layout = new(4, 2, 64);
    private static readonly Yardstick s_yardstick = new("read", 1 << 20, new Timing(100, 0, 1));
    private readonly int _seed = Random.Shared.Next();

    public static readonly TheoryData<string> Attentions = ["dense", "double-sparsity:tokens=1/4,channels=32,sinks=2,window=3", "double-sparsity:tokens=20,bits=8,scaling=token,sets=head", "double-sparsity:tokens=1/2,top-p=0.6,min-tokens=9,mean-value=on", "double-sparsity:dense-below=5000"];

    [Theory]
    [MemberData(nameof(Attentions))]
    public void Right_results_are_timed(string attention)
    {
        var backend = new CpuBackend(2);
        using (backend)
        {
            foreach (int context in (int[])[1, 2, 255, 513, 1300])
            {
                var configuration = new AttentionConfiguration(s_layout, context, 2, KvFormat.F16, AttentionOptions.Parse(attention));
                var rows = Measure(backend, configuration);
                var step = rows[0];
                Assert.True(step.Problem is null, $"seed {_seed}, {configuration}: {step.Problem}");
                Assert.Equal("step", step.What);
                Assert.InRange(step.Error!.Value, 0, 2e-3);
                Assert.All(rows, row => Assert.True(row.Microseconds > 0 && row.Bytes > 0 && row.Share > 0, $"{row.What}, {context}"));
                bool sparse = attention != "dense" && !attention.Contains("dense-below");
                Assert.Equal(sparse ? ["step", "append", "score", "select", "attend"] : ["step", "append", "attend"], rows.Select(r => r.What));
                // K and V of two sequences and two kv heads
                if (attention == "dense") Assert.Equal(2L * context * 2 * 2 * 64 * 2, step.Bytes);
            }
        }
        Assert.Equal(0, backend.Memory.LiveBytes);
    }

    [Fact]
    public void Kernels_are_checked_the_same_way()
    {
        using var backend = GpuBackend.Create(accelerators.Open(GpuKind.CpuAccelerator), leaveOpen: true);
        foreach (string attention in (string[])["dense", "double-sparsity:tokens=1/4", "double-sparsity:tokens=1/2,top-p=0.7,mean-value=on"])
        {
            var row = Measure(backend, new AttentionConfiguration(new HeadLayout(2, 1, 64), 70, 1, KvFormat.F16, AttentionOptions.Parse(attention)), stages: false)[0];
            Assert.True(row.Problem is null, $"seed {_seed}, {attention}: {row.Problem}");
        }
    }

    public static readonly TheoryData<string, string, string> Faults = new()
    {
        { "output", "dense", "output is off" },
        { "output", "double-sparsity:tokens=1/4", "output is off" },
        { "nothing", "dense", "output is off" },
        { "append", "dense", "output is off" },
        { "set", "double-sparsity:tokens=1/4", "a sort of the scores gives" },
        { "count", "double-sparsity:tokens=1/4", "the budget is" },
        { "labels", "double-sparsity:tokens=1/4", "correlation" },
        { "replay", "dense", "after the timed runs" },
        { "later", "double-sparsity:tokens=1/4", "after the timed runs" },
    };

    [Theory]
    [MemberData(nameof(Faults))]
    public void Wrong_results_are_errors_and_not_timed(string fault, string attention, string message)
    {
        using var backend = new FaultyBackend(fault);
        var rows = Measure(backend, new AttentionConfiguration(s_layout, 400, 1, KvFormat.F16, AttentionOptions.Parse(attention)));
        var row = Assert.Single(rows);
        Assert.True(row.Failed);
        Assert.Contains(message, row.Problem);
        if (!message.StartsWith("after")) Assert.Null(row.Microseconds);
    }

    [Fact]
    public void Too_little_memory_is_said_and_no_failure()
    {
        using var backend = new CpuBackend(1);
        var row = Assert.Single(Measure(backend, new AttentionConfiguration(new HeadLayout(1024, 1024, 256), 1 << 20, 1, KvFormat.F32, AttentionOptions.Dense), pattern: new(s_layout, 4, 1, KvFormat.F32, AttentionOptions.Dense)));
        Assert.Contains("out of memory", row.Problem);
        Assert.False(row.Failed);
        Assert.Null(row.Microseconds);
    }

    [Fact]
    public void What_a_backend_cannot_do_is_a_failure()
    {
        using var backend = new CpuBackend(1);
        var row = Assert.Single(Measure(backend, new AttentionConfiguration(s_layout, 10, 1, (KvFormat)99, AttentionOptions.Dense)));
        Assert.True(row.Failed);
        Assert.Contains("99", row.Problem);
    }

    [Fact]
    public void A_cancelled_measurement_ends_and_leaves_what_was_found()
    {
        using var backend = new CpuBackend(1);
        var configuration = new AttentionConfiguration(s_layout, 100, 1, KvFormat.F16, AttentionOptions.Dense);
        using var cancellation = new CancellationTokenSource();
        var session = Session(backend, cancellation.Token);
        using var benchmark = new AttentionBenchmark(session, [configuration], stages: false, tunings: false);
        session.Each([configuration, configuration, configuration], c =>
        {
            var rows = benchmark.Measure(c);
            cancellation.Cancel();
            return rows;
        });
        Assert.True(session.Cancelled);
        Assert.Equal(["read", "step"], session.Rows.Select(r => r.What));
    }

    private IReadOnlyList<BenchRow> Measure(ComputeBackend backend, AttentionConfiguration configuration, bool stages = true, AttentionConfiguration? pattern = null)
    {
        using var benchmark = new AttentionBenchmark(Session(backend, CancellationToken.None), [pattern ?? configuration], stages, tunings: false);
        return benchmark.Measure(configuration);
    }

    private BenchSession Session(ComputeBackend backend, CancellationToken cancellation) => new(backend, new BenchSettings(2, _seed, 0), s_yardstick, row => row, _ => { }, cancellation);
}
