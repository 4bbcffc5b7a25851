using System.CommandLine;
using System.Diagnostics;
using IlgpuSparse.Calibration;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Evaluation;
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
    private static readonly Option<int> s_window = NumberOption.Create("--window", "Tokens a window of text.", 256, ModelOptions.MostTokens, 4096);
    private static readonly Option<int> s_windows = NumberOption.Create("--windows", "Windows of each kind of text.", 1, 1 << 16, 3);
    private static readonly Option<bool> s_proseOnly = new("--prose-only")
    {
        Description = "Leave the generated retrieval texts out. Channels that tell tokens apart hardly vary in prose, so such a map loses retrieval.",
    };
    private static readonly Option<string?> s_components = new("--components") { Description = "Also write the principal components of the keys there, which --attention loki needs.", HelpName = "path" };
    private static readonly Option<int> s_seed = NumberOption.Create("--seed", "Seed of the generated texts.", 0, int.MaxValue, 20);
    private static readonly Option<string> s_backend = ModelOptions.Backend();
    private static readonly Option<int> s_threads = ModelOptions.Threads();
    private static readonly Option<bool> s_json = ModelOptions.Json();

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
            s_model, s_text, s_output, s_statistic, s_window, s_windows, s_proseOnly, s_components, s_seed, s_backend, s_threads, s_json,
        };
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => new CalibrateCommand(arguments).Run(cancellation)));
        return command;
    }

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
        var texts = MakeTexts(tokenizer, window, windows);

        using var backend = ComputeBackends.Create(_arguments.GetValue(s_backend)!, _arguments.GetValue(s_threads));
        using var weights = LlamaWeights.Load(backend, model);
        using var decoder = new LlamaDecoder(backend, weights, new DecoderOptions { Capacity = window, KvFormat = KvFormat.F32 });
        string? components = _arguments.GetValue(s_components);
        var keys = components is null ? null : new KeyCovariance(model.Config);
        var calibrator = new Calibrator(decoder) { Keys = keys };
        var start = Stopwatch.StartNew();
        var statistics = new List<ChannelStatistics>();
        void Gather(Action<double> report)
        {
            double total = texts.Sum(t => t.Windows.Count), done = 0;
            foreach (var text in texts)
            {
                var sums = new ChannelStatistics(model.Config);
                foreach (int[] tokens in text.Windows)
                {
                    calibrator.Gather(sums, tokens, cancellation);
                    report(++done / total);
                }
                statistics.Add(sums);
            }
        }

        if (json || !AnsiConsole.Profile.Capabilities.Interactive) Gather(_ => { });
        else AnsiConsole.Progress().AutoClear(true).Start(progress =>
        {
            var task = progress.AddTask("calibrate", maxValue: 1);
            Gather(share => task.Value = share);
        });
        var statistic = _arguments.GetValue(s_statistic) ?? CalibrationStatistic.Variance;
        var map = ChannelStatistics.Rank(statistics, statistic, model.Fingerprint);
        map.Save(output);
        keys?.Components(model.Fingerprint).Save(components!);
        var report = texts.Select((t, i) => (t.Name, statistics[i].Tokens)).ToList();
        if (json)
        {
            JsonOutput.Write(new
            {
                output,
                statistic = map.Statistic,
                fingerprint = model.Fingerprint,
                texts = report.Select(r => new { name = r.Name, tokens = r.Tokens }),
                seconds = start.Elapsed.TotalSeconds,
                peakBytes = backend.Memory.PeakBytes,
            });
            return 0;
        }
        var table = new Table().Border(TableBorder.Rounded).AddColumns("text", "tokens");
        foreach (var (name, tokens) in report) table.AddRow(name, $"{tokens:N0}");
        AnsiConsole.Write(table);
        Console.Out.WriteLine($"{map.Layers} layers × {map.KvHeads} kv heads ranked by {map.Statistic} in {start.Elapsed.TotalSeconds:0.0} s; written to {output}");
        return 0;
    }

    private List<(string Name, List<int[]> Windows)> MakeTexts(TextTokenizer tokenizer, int window, int windows)
    {
        string[] files = _arguments.GetValue(s_text) is { Length: > 0 } given ? given : [EmbeddedModel.CalibrationTextPath];
        int[] prose = tokenizer.Encode(string.Join("\n\n", files.Select(File.ReadAllText)), addBos: false);
        if (prose.Length < window) throw new ArgumentException($"the prose has {prose.Length:N0} tokens; a window needs {window:N0}");
        int[] start = tokenizer.BosId is int bos ? [bos] : [];
        int room = window - start.Length;
        var result = new List<(string, List<int[]>)>
        {
            // spread over the whole text, as far apart as it is long
            ("prose", [.. Enumerable.Range(0, windows).Select(i => (int[])[.. start, .. prose.AsSpan((int)((long)(prose.Length - room) * i / Math.Max(1, windows - 1)), room)])]),
        };
        if (_arguments.GetValue(s_proseOnly)) return result;
        var retrieval = new RetrievalText(text => tokenizer.Encode(text, addBos: false), _arguments.GetValue(s_seed));
        var lines = new List<int[]>();
        var passKeys = new List<int[]>();
        for (int i = 0; i < windows; i++)
        {
            // a third of the window is left to questions and answers, where retrieval happens
            var (context, questions) = retrieval.Lines(room * 2 / 3, 64);
            lines.Add([.. start, .. context.Concat(questions.SelectMany(q => q.Tokens.Concat(q.Answer))).Take(room)]);
            var passKey = new List<int>(start);
            while (passKey.Count < window - 64)
            {
                var (text, question) = retrieval.PassKey(prose, Math.Min(1024, window - passKey.Count - 40));
                passKey.AddRange(text);
                passKey.AddRange(question.Tokens);
                passKey.AddRange(question.Answer);
            }
            passKeys.Add([.. passKey.Take(window)]);
        }
        result.Add(("lines", lines));
        result.Add(("passkey", passKeys));
        return result;
    }
}
