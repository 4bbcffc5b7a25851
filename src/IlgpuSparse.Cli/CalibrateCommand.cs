using System.CommandLine;
using System.Diagnostics;
using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse calibrate</c>: ranks the channels of every kv head and writes a channel map.</summary>
internal sealed class CalibrateCommand
{
    private static readonly Option<string?> s_model = ModelOptions.Model();
    private static readonly Option<string[]> s_text = new("--text") { Description = "Prose to calibrate on; may be repeated. Default: parts of three novels that travel with the tool.", HelpName = "path" };
    private static readonly Option<string?> s_output = new("--output", "-o") { Description = "Where to write the map. Default: beside the model, its name with .channels.json.", HelpName = "path" };
    private static readonly Option<CalibrationStatistic?> s_statistic = NameOption.Create("--statistic",
        "What ranks the channels: variance is E[q²]·Var(k), qk the paper's mean |q·k|, qklayer the same over all heads of a layer, as the published code has it.", CalibrationStatistic.Variance);
    private static readonly Option<int> s_window = NumberOption.Create("--window", "Tokens a window of text.", 256, ModelOptions.MostTokens, 8192);
    private static readonly Option<int> s_windows = NumberOption.Create("--windows", "Windows of each kind of text.", 1, 1 << 16, 6);
    private static readonly Option<bool> s_proseOnly = new("--prose-only")
    {
        Description = "Leave the generated retrieval texts out. Channels that tell tokens apart hardly vary in prose, so such a map loses retrieval.",
    };
    private static readonly Option<string?> s_components = new("--components") { Description = "Also write the principal components of the keys there, which --attention loki needs.", HelpName = "path" };
    private static readonly Option<bool> s_search = new("--search") { Description = "Search for the bits of rotated labels: move them between directions as long as less attention is lost on the text. Slower, and rarely better than dealing them out by the error." };
    private static readonly Option<int> s_steps = ModelOptions.Steps();
    private static readonly Option<string[]> s_recall = new("--recall")
    {
        Description = "Labels whose sets a layer ahead are compared with the real ones, for --kv-predict, as an attention; may be repeated. none leaves it out.",
        DefaultValueFactory = _ => ["double-sparsity", "double-sparsity:label=rotated"],
        HelpName = "attention|none",
    };
    private static readonly Option<bool> s_recallOnly = new("--recall-only") { Description = "Keep the map that is there, and only measure what --recall says." };
    private static readonly Option<int> s_seed = NumberOption.Create("--seed", "Seed of the generated texts.", 0, int.MaxValue, 20);
    private static readonly Option<string> s_backend = ModelOptions.Backend();
    private static readonly Option<int> s_threads = ModelOptions.Threads();
    private static readonly Option<bool> s_json = ModelOptions.Json();

    /// <summary>Bits of the label that a map is judged by.</summary>
    private const int JudgedBits = 64;

    /// <summary>How much less a label may keep of the attention on retrieval text than on prose.</summary>
    private const double RiskyLoss = 0.1;

    // Other seeds than any that is calibrated on.
    private const int JudgeSeed = 1 << 24;

    // Bounds of what is kept of keys.
    private const long SampleBytes = 1L << 29;
    private const int LeastKeys = 512, MostKeys = 4096;

    // Tokens of a window whose sets are compared with predicted ones, and of the text before them.
    private const int RecallSteps = 64, RecallWindow = 4096;

    private readonly ParseResult _arguments;

    private CalibrateCommand(ParseResult arguments) => _arguments = arguments;

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command("calibrate", """
            Finds the channels that labels are made of: runs text through the model, densely, and ranks the channels of every kv head.
            The text is prose and generated retrieval tasks in equal parts: what calibration never sees, labels will not keep.
            """)
        {
            s_model, s_text, s_output, s_statistic, s_window, s_windows, s_proseOnly, s_search, s_steps, s_components, s_recall, s_recallOnly, s_seed, s_backend, s_threads, s_json,
        };
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => new CalibrateCommand(arguments).Run(cancellation)));
        return command;
    }

    // With no more channels or bits than the heads of this model can have.
    private static AttentionOptions Fitting(AttentionOptions attention, LlamaConfig config) => attention with
    {
        Channels = Math.Min(attention.Channels, attention.Label switch
        {
            LabelKind.Channels => config.HeadDim,
            LabelKind.Mixed => BitAllocation.MostBits * config.HeadDim,
            _ => BitAllocation.MostBits * Math.Min(config.HeadDim, BasisFit.MostDirections),
        }),
    };

    private int Run(CancellationToken cancellation)
    {
        bool json = _arguments.GetValue(s_json);
        string path = _arguments.ModelPath(s_model);
        using var model = ModelFile.Open(path);
        var tokenizer = ModelOptions.Tokenizer(model, path);
        int window = Math.Min(_arguments.GetValue(s_window), model.Config.MaxContext), windows = _arguments.GetValue(s_windows);
        if (window < 256) throw new ArgumentException($"the model's context of {window} tokens is too short to calibrate: at least 256");
        string output = _arguments.GetValue(s_output) ?? ChannelMapFile.PathFor(path);
        if (Directory.Exists(output) || !Directory.Exists(Path.GetDirectoryName(Path.GetFullPath(output)))) throw new ArgumentException($"--output {output}: not a file in an existing directory");
        var texts = new CalibrationTexts(tokenizer, _arguments.GetValue(s_text) is { Length: > 0 } given ? given : [EmbeddedModel.CalibrationTextPath], window);
        int seed = _arguments.GetValue(s_seed);
        bool proseOnly = _arguments.GetValue(s_proseOnly);
        List<CalibrationText> used = [texts.Prose(windows)];
        if (!proseOnly) used.AddRange([texts.Lines(windows, seed), texts.PassKeys(windows, seed)]);
        // what it is judged on: other windows of the same kinds, whatever it was fitted to
        List<CalibrationText> judged = [texts.Prose(1, shifted: true), texts.Lines(1, seed + JudgeSeed), texts.PassKeys(1, seed + JudgeSeed)];

        List<AttentionOptions> recalled = _arguments.GetValue(s_recall) is ["none"] ? [] : [.. _arguments.GetValue(s_recall)!.Select(AttentionOptions.Parse)];
        bool recallOnly = _arguments.GetValue(s_recallOnly);
        if (recallOnly && !File.Exists(output)) throw new ArgumentException($"--recall-only: there is no map at {output}");

        using var backend = ComputeBackends.Create(_arguments.GetValue(s_backend)!, _arguments.GetValue(s_threads));
        using var weights = LlamaWeights.Load(backend, model);
        // tensor cores take prompts with K and V of 16 bits alone; what is counted comes before the cache
        using var decoder = new LlamaDecoder(backend, weights, new DecoderOptions { Capacity = window, KvFormat = backend is GpuBackend ? KvFormat.F16 : KvFormat.F32 });
        string? components = _arguments.GetValue(s_components);
        var keys = components is null ? null : new KeyCovariance(model.Config);
        var calibrator = new Calibrator(decoder) { Keys = keys };
        var start = Stopwatch.StartNew();
        var statistics = new List<ChannelStatistics>();
        var samples = new List<CalibrationSample>();
        var statistic = _arguments.GetValue(s_statistic) ?? CalibrationStatistic.Variance;
        long each = CalibrationSample.WindowBytes(model.Config, 1, 0);
        int mostKeys = (int)Math.Clamp(SampleBytes / (each * used.Concat(judged).Sum(t => t.Windows.Count)), LeastKeys, MostKeys);
        double gathered = 0;
        ChannelMap? map = null;
        IReadOnlyList<double> kept = [];
        void Recall(Action<string, double> report)
        {
            double total = recalled.Count * judged.Sum(t => t.Windows.Count), done = 0;
            var found = new List<PredictionRecall>();
            foreach (var asked in recalled)
            {
                var attention = Fitting(asked, model.Config);
                if (attention.Label == LabelKind.Rotated && !map!.HasBases) continue; // an old map, kept
                using var probe = new PredictionProbe(backend, weights, map!, attention, Math.Min(window, RecallWindow));
                foreach (var (tokens, _) in judged.SelectMany(t => t.Windows))
                {
                    probe.Add(tokens.AsSpan(Math.Max(0, tokens.Length - RecallWindow)), RecallSteps, cancellation);
                    report("predict", ++done / total);
                }
                found.Add(probe.Result());
            }
            if (found.Count > 0) map = map!.With(found);
        }
        void Fit(Action<string, double> report)
        {
            if (recallOnly)
            {
                map = ChannelMapFile.Load(output, model);
                Recall(report);
                return;
            }
            double total = used.Concat(judged).Sum(t => t.Windows.Count), done = 0;
            foreach (var text in used.Concat(judged))
            {
                var sums = new ChannelStatistics(model.Config);
                var sample = new CalibrationSample(model.Config, text.Name, mostKeys);
                foreach (var (tokens, positions) in text.Windows)
                {
                    calibrator.Gather(sums, tokens, sample, positions, cancellation);
                    report("read", ++done / total);
                }
                statistics.Add(sums);
                samples.Add(sample);
            }
            gathered = start.Elapsed.TotalSeconds;
            map = ChannelStatistics.Rank(statistics[..used.Count], statistic, model.Fingerprint);
            // prose counts as much as all that is retrieved
            double[] shares = used.Count == 1 ? [1] : [0.5, .. used.Skip(1).Select(_ => 0.5 / (used.Count - 1))];
            map = new LabelFit(samples[..used.Count], shares).Run(map, search: _arguments.GetValue(s_search), _arguments.GetValue(s_threads), share => report("fit", share), _arguments.GetValue(s_steps), cancellation);
            Recall(report);
            kept = new LabelFit(samples[used.Count..]).Kept(map, LabelKind.Rotated, JudgedBits, _arguments.GetValue(s_threads), cancellation);
        }

        if (json || !AnsiConsole.Profile.Capabilities.Interactive) Fit((_, _) => { });
        else AnsiConsole.Progress().AutoClear(true).Start(progress =>
        {
            var tasks = new Dictionary<string, ProgressTask>();
            Fit((name, share) =>
            {
                lock (tasks)
                {
                    if (!tasks.TryGetValue(name, out var task)) tasks[name] = task = progress.AddTask(name, maxValue: 1);
                    task.Value = Math.Max(task.Value, share);
                }
            });
        });
        map!.Save(output);
        keys?.Components(model.Fingerprint).Save(components!);
        double seconds = start.Elapsed.TotalSeconds;
        long sampleBytes = samples.Sum(s => s.Bytes);
        bool risky = kept.Skip(1).Any(k => k < kept[0] - RiskyLoss);
        if (json)
        {
            JsonOutput.Write(new
            {
                output,
                statistic = map.Statistic,
                fingerprint = model.Fingerprint,
                texts = used.Zip(statistics).Select(x => new { name = x.First.Name, tokens = x.Second.Tokens }),
                kept = judged.Zip(kept).Select(x => new { name = x.First.Name, share = x.Second }),
                predictions = map.Predictions,
                risky,
                seconds,
                readSeconds = gathered,
                sampleBytes,
                peakBytes = backend.Memory.PeakBytes,
            });
            return 0;
        }
        var table = new Table().Border(TableBorder.Rounded).AddColumns("text", "tokens read", $"attention kept by {JudgedBits} bits, of the oracle's");
        for (int i = 0; i < kept.Count; i++) table.AddRow(judged[i].Name, i < used.Count ? $"{statistics[i].Tokens:N0}" : "none", $"{kept[i]:P1}");
        if (kept.Count > 0) AnsiConsole.Write(table);
        if (map.Predictions is { Count: > 0 } predictions)
        {
            var layers = new Table().Border(TableBorder.Rounded).AddColumn("found a layer ahead, of the sets of");
            for (int layer = 1; layer < map.Layers; layer++) layers.AddColumn($"{layer}");
            foreach (var prediction in predictions) layers.AddRow([Markup.Escape(prediction.Attention), .. prediction.Recall.Skip(1).Select(share => $"{share:P0}")]);
            AnsiConsole.Write(layers);
        }
        Console.Out.WriteLine($"{map.Layers} layers × {map.KvHeads} kv heads fitted in {seconds:0.0} s ({gathered:0.0} s of it reading; {Bytes.Text(backend.Memory.PeakBytes + sampleBytes)} of caches and samples); written to {output}");
        if (risky)
            AnsiConsole.MarkupLine("[yellow]This map is risky: its labels keep much less of the attention on generated retrieval text than on prose, so sparse attention will read well and forget facts. " + (proseOnly ? "Calibrate without --prose-only." : "Calibrate on more windows.") + "[/]");
        return 0;
    }
}
