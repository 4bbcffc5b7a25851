using System.CommandLine;
using IlgpuSparse.Attention;
using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse bench attention</c>: the attention of one decode step, checked, then timed over contexts, head layouts and budgets.</summary>
internal static class BenchAttentionCommand
{
    private static readonly Option<string> s_contexts = new("--contexts")
    {
        Description = "Tokens in the cache, separated by commas; K stands for 1024.",
        DefaultValueFactory = _ => "4K,16K,64K,256K",
        HelpName = "n,n,...",
    };
    private static readonly Option<string> s_heads = new("--heads")
    {
        Description = "Query heads x kv heads x channels a head (128 when left out), separated by commas.",
        DefaultValueFactory = _ => "32x32x128,32x8x128",
        HelpName = "HxKxD,...",
    };
    private static readonly Option<string> s_batches = new("--batch") { Description = "Sequences of a step, separated by commas.", DefaultValueFactory = _ => "1", HelpName = "n,n,..." };
    private static readonly Option<string[]> s_attention = new("--attention", "-a")
    {
        Description = "Attention as 'generate' takes it; may be repeated. Default: dense, 1/16 of the tokens by 64 x 2 bits, 1/64 by 32 x 2 bits.",
        DefaultValueFactory = _ => ["dense", "double-sparsity:tokens=1/16", "double-sparsity:tokens=1/64,channels=32,bits=2"],
        HelpName = "method[:settings]",
    };
    private static readonly Option<KvFormat> s_kvType = new("--kv-type")
    {
        Description = "Element type of the stored K and V: f32, f16, bf16 or, where the backend has it, int8.",
        DefaultValueFactory = _ => KvFormat.F16,
        HelpName = "f32|f16|bf16|int8",
    };
    private static readonly Option<bool> s_stages = new("--stages") { Description = "Time the parts of a step alone too: append, score, select (scores and sets), attend." };
    private static readonly Option<bool> s_tunings = new("--tunings") { Description = "Time selecting and attending with every launch choice of their CUDA kernels: what the defaults are chosen from." };
    private static readonly Option<FusedSteps?> s_fused = NameOption.Create("--fused",
        "Whether a sparse step is one kernel of thread-block clusters (CUDA, sm_90) wherever there is one, one kernel without clusters (resident), several (off), or by the rule that steps go by. With --stages it is timed in all of these ways.", FusedSteps.Auto);
    private static readonly Option<string?> s_baseline = new("--baseline") { Description = "Times of PyTorch on the same device to compare with, one JSON object a line.", HelpName = "path" };

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command("attention", """
            Times the attention of one decode step on random contents: appending K, V and labels, scoring, selecting, attending, all included.
            Each configuration is first checked against double precision; a wrong result is an error and no time is given.
            On CUDA a step is timed replayed from a graph (the headline) and launched call by call.
            """)
        {
            s_contexts, s_heads, s_batches, s_attention, s_kvType, s_fused, s_stages, s_tunings, s_baseline,
        };
        BenchOptions.AddTo(command);
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => Run(arguments, cancellation)));
        return command;
    }

    private static int Run(ParseResult arguments, CancellationToken cancellation)
    {
        var baseline = arguments.GetValue(s_baseline) is { } path ? AttentionBaseline.Load(path) : null;
        var grid = ReadGrid(arguments);
        var run = new BenchRun(arguments, "attention", row => baseline?.Compare(row) ?? row, AttentionPlots.Save);
        return run.Execute(session =>
        {
            if (session.Backend is GpuBackend gpu) gpu.Fused.Steps = arguments.GetValue(s_fused) ?? FusedSteps.Auto;
            using var benchmark = new AttentionBenchmark(session, grid, arguments.GetValue(s_stages), arguments.GetValue(s_tunings));
            session.Each(grid, benchmark.Measure);
        }, cancellation);
    }

    private static IReadOnlyList<AttentionConfiguration> ReadGrid(ParseResult arguments)
    {
        HeadLayout[] layouts = [.. BenchOptions.Parts(arguments, s_heads).Select(HeadLayout.Parse)];
        AttentionOptions[] attentions = [.. arguments.GetValue(s_attention)!.Select(AttentionOptions.Parse)];
        if (attentions.FirstOrDefault(a => a.DenseLayers > 0) is { } layered) throw new ArgumentException($"--attention {layered}: one layer is measured, so dense-layers has no meaning");
        if (attentions.FirstOrDefault(a => a.Kind is not (AttentionKind.Dense or AttentionKind.DoubleSparsity)) is { } other)
            throw new ArgumentException($"--attention {other}: only dense and double-sparsity are timed; 'evaluate' takes the others");
        int[] batches = [.. BenchOptions.Parts(arguments, s_batches).Select(p => BenchOptions.Number(s_batches, p, 1, 1024))];
        int[] contexts = [.. BenchOptions.Parts(arguments, s_contexts).Select(p => BenchOptions.Number(s_contexts, p, 1, 1 << 24))];
        return AttentionConfiguration.Grid(layouts, attentions, batches, contexts, arguments.GetValue(s_kvType));
    }
}
