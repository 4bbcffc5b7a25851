using System.CommandLine;
using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse bench prefill</c> and <c>bench decode</c>: whole models of a named shape with random weights.</summary>
internal static class BenchModelCommand
{
    private static readonly Option<string> s_shape = ModelOptions.Shape(ModelShapes.Names[0]);
    private static readonly Option<int> s_layers = NumberOption.Create("--layers", "Layers, where the model's own do not fit; 0 for its own.", 0, 1024, 0);
    private static readonly Option<WeightFormat?> s_format = NameOption.Create("--format", "Format of the weights; all but q4_1 and q5_k can be made.", WeightFormat.F16);
    private static readonly Option<KvFormat?> s_kvType = ModelOptions.KvType(KvFormat.F16);
    private static readonly Option<string?> s_baseline = new("--baseline") { Description = "Rates of PyTorch on the same device to compare with, one JSON object a line.", HelpName = "path" };
    private static readonly Option<KvPlacement?> s_kv = ModelOptions.Kv();
    private static readonly Option<string> s_kvHot = ModelOptions.KvHot();
    private static readonly Option<KvPrediction?> s_kvPredict = ModelOptions.KvPredict();
    private static readonly Option<float> s_kvLate = ModelOptions.KvLate();
    private static readonly Option<string> s_prompts = new("--contexts") { Description = "Tokens of the prompt, separated by commas; K stands for 1024.", DefaultValueFactory = _ => "4K,16K", HelpName = "n,n,..." };
    private static readonly Option<string[]> s_labels = new("--attention", "-a")
    {
        Description = "Attention of the steps that would follow, which decides what labels are made; may be repeated.",
        DefaultValueFactory = _ => ["dense", "double-sparsity:tokens=1/16"],
        HelpName = "method[:settings]",
    };
    private static readonly Option<ProductPrecision?> s_precision = ModelOptions.Precision(ProductPrecision.Half);
    private static readonly Option<int> s_chunk = NumberOption.Create("--prefill-chunk", "Prompt tokens computed at a time; 0 for what suits the backend.", 0, 1 << 16, 0);
    private static readonly Option<string> s_contexts = new("--contexts") { Description = "Tokens in the cache, separated by commas; K stands for 1024.", DefaultValueFactory = _ => "2K,16K,32K,64K", HelpName = "n,n,..." };
    private static readonly Option<string> s_batches = new("--batch") { Description = "Sequences of a step, separated by commas.", DefaultValueFactory = _ => "1", HelpName = "n,n,..." };
    private static readonly Option<string[]> s_attention = new("--attention", "-a")
    {
        Description = "Attention as 'generate' takes it; may be repeated. Default: dense, 1/16 of the tokens by 64 x 2 bits.",
        DefaultValueFactory = _ => ["dense", "double-sparsity:tokens=1/16"],
        HelpName = "method[:settings]",
    };

    /// <summary><c>bench prefill</c>.</summary>
    public static Command CreatePrefill()
    {
        var command = new Command("prefill", """
            Times the prompt of a model with random weights, from the ids to the last logits, chunked as 'generate' does it, and the labels that are made on the way.
            TFLOP/s count the products and half of all pairs of attention. First the logits of a prompt are compared with those of the same tokens one by one.
            """)
        {
            s_shape, s_layers, s_format, s_prompts, s_labels, s_kvType, s_precision, s_chunk, s_baseline,
        };
        BenchOptions.AddTo(command);
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => Run(arguments, ModelBenchmark.Prefill, s_prompts, s_labels, null, cancellation)));
        return command;
    }

    /// <summary><c>bench decode</c>.</summary>
    public static Command CreateDecode()
    {
        var command = new Command("decode", """
            Times decode steps of a model with random weights over caches with random contents, from the ids to the logits on the host, just as 'generate' runs them (on CUDA replayed from a graph).
            First the logits of a prompt are compared with those of the same tokens one by one.
            """)
        {
            s_shape, s_layers, s_format, s_contexts, s_batches, s_attention, s_kvType, s_kv, s_kvHot, s_kvPredict, s_kvLate, s_precision, s_baseline,
        };
        BenchOptions.AddTo(command);
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => Run(arguments, ModelBenchmark.Decode, s_contexts, s_attention, s_batches, cancellation)));
        return command;
    }

    private static int Run(ParseResult arguments, string what, Option<string> contexts, Option<string[]> attentions, Option<string>? batches, CancellationToken cancellation)
    {
        var config = ModelShapes.Find(arguments.GetValue(s_shape)!, arguments.GetValue(s_layers));
        var format = arguments.GetValue(s_format) ?? WeightFormat.F16;
        int chunk = batches is null ? arguments.GetValue(s_chunk) : 0;
        IReadOnlyList<ModelConfiguration> grid =
        [
            .. from attention in arguments.GetValue(attentions)!.Select(AttentionOptions.Parse).ToList()
               from batch in batches is null ? [1] : BenchOptions.Parts(arguments, batches).Select(p => BenchOptions.Number(batches, p, 1, 1024)).ToList()
               from context in BenchOptions.Parts(arguments, contexts).Select(p => BenchOptions.Number(contexts, p, 1, 1 << 24)).ToList()
               let host = batches is not null && arguments.GetValue(s_kv) == KvPlacement.Host
               select new ModelConfiguration(context, batch, attention, batches is null ? KvPlacement.Device : arguments.GetValue(s_kv) ?? KvPlacement.Device, batches is null ? "0" : arguments.GetValue(s_kvHot)!,
                   host ? arguments.GetValue(s_kvPredict) ?? KvPrediction.Off : KvPrediction.Off, host ? arguments.GetValue(s_kvLate) : 0),
        ];
        var baseline = arguments.GetValue(s_baseline) is { } path ? ModelBaseline.Load(path) : null;
        var run = new BenchRun(arguments, what, row => baseline?.Compare(row) ?? row, ModelPlots.Save, arguments.GetValue(s_precision) ?? ProductPrecision.Half);
        return run.Execute(session =>
        {
            using var benchmark = new ModelBenchmark(session, config, arguments.GetValue(s_shape)!, format, arguments.GetValue(s_kvType) ?? KvFormat.F16, chunk);
            session.Each(grid, what == ModelBenchmark.Prefill ? benchmark.MeasurePrefill : benchmark.MeasureDecode);
        }, cancellation);
    }
}
