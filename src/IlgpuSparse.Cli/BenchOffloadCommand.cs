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
    private static readonly Option<string> s_kvType = new("--kv-type")
    {
        Description = "Element types of the stored K and V in sparse steps on the host, separated by commas: f32, f16, bf16, int8. All other steps have the first.",
        DefaultValueFactory = _ => "f16",
        HelpName = "type,...",
    };
    private static readonly Option<string> s_contexts = new("--contexts") { Description = "Tokens in the cache, separated by commas; K stands for 1024.", DefaultValueFactory = _ => "16K,64K,256K", HelpName = "n,n,..." };
    private static readonly Option<string> s_budgets = new("--budgets") { Description = "Shares of the tokens, or numbers of them, that sparse steps select, separated by commas.", DefaultValueFactory = _ => "1/16,1/64", HelpName = "1/n,..." };
    private static readonly Option<string> s_hot = new("--hot") { Description = "Hot rows of sparse steps as --kv-hot of 'generate' takes them, separated by commas.", DefaultValueFactory = _ => "0,auto", HelpName = "n,auto,..." };
    private static readonly Option<string> s_predict = new("--predict") { Description = "Whether rows are brought ahead, as --kv-predict of 'generate' says, separated by commas.", DefaultValueFactory = _ => "off,late,trust", HelpName = "off,late,..." };
    private static readonly Option<float> s_late = ModelOptions.KvLate();
    private static readonly Option<string> s_rows = new("--rows") { Description = "Bytes of the rows whose rates over the bus are measured, separated by commas.", DefaultValueFactory = _ => "32,64,128,256,512,1024", HelpName = "n,n,..." };
    private static readonly Option<string?> s_record = new("--record") { Description = "Measure nothing: record what the model that travels with the tool selects (of --budgets the first) while it continues its text, on any backend, into that file.", HelpName = "path" };
    private static readonly Option<string?> s_replay = new("--replay")
    {
        Description = "Also attend to selections that --record wrote, stretched to the context, with every size of --hot: steps that have in common what a real model's have.",
        HelpName = "path",
    };
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
            s_shape, s_layers, s_format, s_kvType, s_contexts, s_budgets, s_hot, s_predict, s_late, s_rows, s_record, s_replay, s_noDevice, s_noLocality,
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
        KvPrediction[] predict = [.. BenchOptions.Parts(arguments, s_predict).Select(p => Named<KvPrediction>(s_predict, p))];
        KvFormat[] formats = [.. BenchOptions.Parts(arguments, s_kvType).Select(p => Named<KvFormat>(s_kvType, p))];
        bool device = !arguments.GetValue(s_noDevice);
        int[] rows = [.. BenchOptions.Parts(arguments, s_rows).Select(p => BenchOptions.Number(s_rows, p, 16, 4096))];
        if (Array.Find(rows, r => r % 16 != 0) is > 0 and int odd) throw new ArgumentException($"--rows {odd}: a multiple of 16 is needed");
        if (arguments.GetValue(s_record) is { } target) return Record(arguments, sparse[0], target, cancellation);
        var trace = arguments.GetValue(s_replay) is { } recorded ? SelectionTrace.Load(recorded) : null;
        IReadOnlyList<ModelConfiguration> grid =
        [
            .. from context in BenchOptions.Parts(arguments, s_contexts).Select(p => BenchOptions.Number(s_contexts, p, 1, 1 << 24)).ToList()
               from configuration in (IEnumerable<ModelConfiguration>)
               [
                   // first what the others are compared with
                   new(context, 1, AttentionOptions.Dense, KvPlacement.Host),
                   .. from attention in sparse from format in formats from h in hot from p in predict
                      select new ModelConfiguration(context, 1, attention, KvPlacement.Host, h, p, arguments.GetValue(s_late), format),
                   .. from h in trace is null ? [] : hot select new ModelConfiguration(context, 1, AttentionOptions.Parse(trace!.Attention), KvPlacement.Host, h, Replay: trace),
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
            using (var benchmark = new ModelBenchmark(session, config, arguments.GetValue(s_shape)!, arguments.GetValue(s_format) ?? WeightFormat.F16, formats[0], 0) { BusGigabytesPerSecond = bus })
                session.Each(grid, benchmark.MeasureDecode);
            // a whole text on the CPU accelerator would take days
            if (session.Cancelled || arguments.GetValue(s_noLocality) || session.Backend is not GpuBackend { Device.IsCuda: true }) return;
            var locality = new LocalityBenchmark(session);
            session.Each([.. from attention in sparse from size in LocalityBenchmark.Sizes select (attention, size)], ((AttentionOptions Attention, string Size) c) => [locality.Measure(c.Attention, c.Size)]);
        }, cancellation);
    }

    private static int Record(ParseResult arguments, AttentionOptions attention, string target, CancellationToken cancellation)
    {
        using var backend = ComputeBackends.Create(arguments.GetValue(BenchOptions.Backend)!, arguments.GetValue(BenchOptions.Threads));
        var trace = SelectionRecorder.Record(backend, attention, BenchOptions.Settings(arguments).Seed, cancellation);
        trace.Save(target);
        if (arguments.GetValue(BenchOptions.Json)) JsonOutput.Write(new { path = target, attention = trace.Attention, prompt = trace.Prompt, steps = trace.Steps, layers = trace.Layers, heads = trace.Heads, overlap = trace.Overlap });
        else Console.Out.WriteLine($"{trace.Steps} steps behind {trace.Prompt:N0} tokens, {trace.Layers} layers of {trace.Heads} kv heads, {trace.Attention}: {trace.Overlap:P1} of a set was in the set of the step before; written to {target}");
        return 0;
    }

    private static T Named<T>(Option option, string text) where T : struct, Enum => Enum.TryParse<T>(text, ignoreCase: true, out var value) && Enum.IsDefined(value) ? value
        : throw new ArgumentException($"{option.Name} {text}: expected {string.Join(", ", Enum.GetNames<T>()).ToLowerInvariant()}");
}
