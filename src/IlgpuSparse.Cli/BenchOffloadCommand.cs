using System.CommandLine;
using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse bench offload</c>: decode steps with K and V in host memory beside ones with K and V on the device, and rates over the bus.</summary>
internal static class BenchOffloadCommand
{
    private const string Benchmark = "offload";

    private static readonly Option<string> s_shape = ModelOptions.Shape("llama-3-8b");
    private static readonly Option<int> s_layers = NumberOption.Create("--layers", "Layers, where the model's own do not fit; 0 for its own.", 0, 1024, 0);
    private static readonly Option<WeightFormat?> s_format = NameOption.Create("--format", "Format of the weights; all but q4_1 and q5_k can be made.", WeightFormat.F16);
    private static readonly Option<KvFormat?> s_kvType = ModelOptions.KvType(KvFormat.F16);
    private static readonly Option<string> s_contexts = new("--contexts") { Description = "Tokens in the cache, separated by commas; K stands for 1024.", DefaultValueFactory = _ => "16K,64K,256K", HelpName = "n,n,..." };
    private static readonly Option<string> s_budgets = new("--budgets") { Description = "Shares of the tokens, or numbers of them, that sparse steps select, separated by commas.", DefaultValueFactory = _ => "1/16,1/64", HelpName = "1/n,..." };
    private static readonly Option<string> s_hot = new("--hot") { Description = "Hot rows of sparse steps as --kv-hot of 'generate' takes them, separated by commas.", DefaultValueFactory = _ => "0,auto", HelpName = "n,auto,..." };
    private static readonly Option<string> s_predict = new("--predict") { Description = "Whether rows are brought ahead, as --kv-predict of 'generate' says, separated by commas.", DefaultValueFactory = _ => "off,late,trust", HelpName = "off,late,..." };
    private static readonly Option<string> s_rows = new("--rows") { Description = "Bytes of the rows whose rates over the bus are measured, separated by commas.", DefaultValueFactory = _ => "32,64,128,256,512,1024", HelpName = "n,n,..." };
    private static readonly Option<bool> s_noDevice = new("--no-device") { Description = "Leave out steps with K and V on the device." };
    private static readonly Option<bool> s_noLocality = new("--no-locality") { Description = "Leave out the hit rates of the model that travels with the tool." };

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command(Benchmark, """
            Times decode steps of a model with random weights over random K and V: on the device dense and sparse, in host memory sparse, and in host memory with all of K and V brought every step,
            a layer ahead of the one that is computed with (what offloading without sparsity costs at best). Random tokens: successive steps have as little in common as can be.
            Before: a copy from pinned host memory, and selected rows of several sizes. Behind: how many rows of a real model's selections were hot (CUDA).
            """)
        {
            s_shape, s_layers, s_format, s_kvType, s_contexts, s_budgets, s_hot, s_predict, s_rows, s_noDevice, s_noLocality,
        };
        BenchOptions.AddTo(command);
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => Run(arguments, cancellation)));
        return command;
    }

    private static int Run(ParseResult arguments, CancellationToken cancellation)
    {
        var config = ModelShapes.Find(arguments.GetValue(s_shape)!, arguments.GetValue(s_layers));
        var sparse = BenchOptions.Parts(arguments, s_budgets).Select(budget => AttentionOptions.Parse($"double-sparsity:tokens={budget}")).ToList();
        string[] hot = BenchOptions.Parts(arguments, s_hot);
        KvPrediction[] predict = [.. BenchOptions.Parts(arguments, s_predict).Select(Prediction)];
        bool device = !arguments.GetValue(s_noDevice);
        int[] rows = [.. BenchOptions.Parts(arguments, s_rows).Select(p => BenchOptions.Number(s_rows, p, 16, 4096))];
        if (Array.Find(rows, r => r % 16 != 0) is > 0 and int odd) throw new ArgumentException($"--rows {odd}: a multiple of 16 is needed");
        IReadOnlyList<ModelConfiguration> grid =
        [
            .. from context in BenchOptions.Parts(arguments, s_contexts).Select(p => BenchOptions.Number(s_contexts, p, 1, 1 << 24)).ToList()
               from configuration in (IEnumerable<ModelConfiguration>)
               [
                   // first what the others are compared with
                   new(context, 1, AttentionOptions.Dense, KvPlacement.Host),
                   .. from attention in sparse from h in hot from p in predict select new ModelConfiguration(context, 1, attention, KvPlacement.Host, h, p),
                   .. from attention in device ? [AttentionOptions.Dense, .. sparse] : new List<AttentionOptions>() select new ModelConfiguration(context, 1, attention),
               ]
               select configuration,
        ];
        var full = new Dictionary<(string?, int), double?>();
        BenchRow Compare(BenchRow row)
        {
            if (row.What != ModelBenchmark.Decode) return row;
            if (row is { Kv: not null, Attention: BenchRow.Dense }) full[(row.Model, row.Context)] = row.TokensPerSecond;
            return row with { OverFull = row.TokensPerSecond / full.GetValueOrDefault((row.Model, row.Context)) };
        }
        var run = new BenchRun(arguments, Benchmark, Compare, OffloadPlots.Save, ProductPrecision.Half);
        return run.Execute(session =>
        {
            double? bus;
            using (var benchmark = new OffloadBenchmark(session))
            {
                session.Each(["pinned copy"], (string _) => [benchmark.MeasureCopy()]);
                session.Each(rows, benchmark.MeasureRows);
                bus = benchmark.BusGigabytesPerSecond;
            }
            if (session.Cancelled) return;
            using (var benchmark = new ModelBenchmark(session, config, arguments.GetValue(s_shape)!, arguments.GetValue(s_format) ?? WeightFormat.F16, arguments.GetValue(s_kvType) ?? KvFormat.F16, 0) { BusGigabytesPerSecond = bus })
                session.Each(grid, benchmark.MeasureDecode);
            // a whole text on the CPU accelerator would take days
            if (session.Cancelled || arguments.GetValue(s_noLocality) || session.Backend is not GpuBackend { Device.IsCuda: true }) return;
            var locality = new LocalityBenchmark(session);
            session.Each([.. from attention in sparse from size in LocalityBenchmark.Sizes select (attention, size)], ((AttentionOptions Attention, string Size) c) => [locality.Measure(c.Attention, c.Size)]);
        }, cancellation);
    }

    private static KvPrediction Prediction(string text) => Enum.TryParse<KvPrediction>(text, ignoreCase: true, out var prediction) && Enum.IsDefined(prediction) ? prediction
        : throw new ArgumentException($"--predict {text}: expected {string.Join(", ", Enum.GetNames<KvPrediction>()).ToLowerInvariant()}");
}
