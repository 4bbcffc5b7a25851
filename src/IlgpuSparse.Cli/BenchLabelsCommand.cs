using System.CommandLine;
using IlgpuSparse.Calibration;
using IlgpuSparse.Cli.Benchmarks;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse bench labels</c>: what labels find of attention that was planted, without a model.</summary>
internal static class BenchLabelsCommand
{
    private const int CalibrationContext = 8192, CalibrationWindows = 6, CalibrationQueries = 64, JudgedQueries = 16;

    private static readonly Option<string> s_contexts = new("--contexts") { Description = "Tokens, separated by commas; K for 1024.", DefaultValueFactory = _ => "8K,64K,256K", HelpName = "n,..." };
    private static readonly Option<int> s_budget = NumberOption.Create("--budget", "One key in how many is selected.", 2, 1 << 16, 64, "n");
    private static readonly Option<int> s_seed = NumberOption.Create("--seed", "Seed of everything that is drawn.", 0, 1 << 20, 1);
    private static readonly Option<int> s_steps = ModelOptions.Steps();
    private static readonly Option<string?> s_markdown = new("--markdown") { Description = "Write the table there as Markdown.", HelpName = "path" };
    private static readonly Option<string?> s_plot = new("--plot") { Description = "Write plots (PNG, SVG) over the bits of labels into that directory.", HelpName = "directory" };
    private static readonly Option<bool> s_json = ModelOptions.Json();

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command("labels", """
            What labels find, by their bits, of attention planted in random keys with outlier channels, offsets, rotary positions and drift; no model is needed.
            Labels are calibrated on six windows of 8,192 tokens from other seeds. One set a group of four heads.
            """)
        {
            s_contexts, s_budget, s_seed, s_steps, s_markdown, s_plot, s_json,
        };
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => Run(arguments, cancellation)));
        return command;
    }

    private static int Run(ParseResult arguments, CancellationToken cancellation)
    {
        int seed = arguments.GetValue(s_seed), budget = arguments.GetValue(s_budget);
        int[] contexts = [.. BenchOptions.Parts(arguments, s_contexts).Select(Context)];
        var planted = new PlantedAttention(seed);
        var (map, untrained, published) = Calibrate(planted, seed, arguments.GetValue(s_steps), cancellation);
        var rows = new List<LabelRow>();
        foreach (int context in contexts)
        {
            var sample = new CalibrationSample(PlantedAttention.Config(context), "planted", context);
            int[][] places = planted.Fill(sample, null, context, JudgedQueries, seed + 1000);
            var window = sample.Head(0, 0)[0];
            float[][] truth = [];
            foreach (var label in PlantedLabel.All(map, untrained, published, seed))
            {
                cancellation.ThrowIfCancellationRequested();
                ProgressConsole.Instance.WriteLine($"{context:N0} tokens: {label.Name}");
                var score = label.Prepare(window);
                float[][] scores = [.. Enumerable.Range(0, JudgedQueries * PlantedAttention.Group).Select(i => score(window.Queries.AsSpan(i * PlantedAttention.HeadDim, PlantedAttention.HeadDim).ToArray()))];
                // the first form is the true one
                if (truth.Length == 0) truth = scores;
                rows.Add(Judge(label, context, budget, window, places, truth, scores));
            }
        }
        var document = new { command = ResultReport.CommandLine(arguments), date = DateTime.UtcNow, budget, calibrated = CalibrationContext, windows = CalibrationWindows, rows };
        string summary = $"`{document.command}`, one key in {budget} selected, calibrated on {CalibrationWindows} windows of {CalibrationContext:N0} tokens, {document.date:yyyy-MM-dd}";
        ResultReport.Write(document, summary, Sections(rows), arguments.GetValue(s_json), arguments.GetValue(s_markdown), arguments.GetValue(s_plot), directory => Plot(rows, directory));
        return 0;
    }

    private static int Context(string text)
    {
        bool kilo = text.EndsWith('K');
        return int.TryParse(kilo ? text[..^1] : text, out int n) && n > 0 && (long)n * (kilo ? 1024 : 1) is >= 256 and <= 1 << 20 and long tokens
            ? (int)tokens : throw new FormatException($"--contexts {text}: expected 256 to {1 << 20:N0} tokens");
    }

    private static (HeadChannels Map, HeadChannels Untrained, HeadChannels Published) Calibrate(PlantedAttention planted, int seed, int steps, CancellationToken cancellation)
    {
        var config = PlantedAttention.Config(CalibrationContext);
        var sample = new CalibrationSample(config, "planted", CalibrationContext);
        var statistics = new ChannelStatistics(config);
        for (int window = 0; window < CalibrationWindows; window++) planted.Fill(sample, statistics, CalibrationContext, CalibrationQueries, seed + 1 + window);
        var (fit, ranked) = (new LabelFit([sample]), ChannelStatistics.Rank([statistics], CalibrationStatistic.Variance, "planted"));
        var untrained = fit.Run(ranked, search: false, cancellation: cancellation);
        var map = fit.Run(ranked, search: false, steps: steps, cancellation: cancellation);
        return (map[0, 0], untrained[0, 0], ChannelStatistics.Rank([statistics], CalibrationStatistic.Qk, "planted")[0, 0]);
    }

    private static LabelRow Judge(PlantedLabel label, int context, int budget, HeadWindow window, int[][] places, float[][] truth, float[][] scores)
    {
        double found = 0, mass = 0;
        int wanted = 0;
        for (int query = 0; query < places.Length; query++)
        {
            int visible = window.Visible[query], first = query * PlantedAttention.Group;
            var set = new float[visible];
            for (int j = 0; j < visible; j++) set[j] = Enumerable.Range(first, PlantedAttention.Group).Max(h => scores[h][j]);
            float threshold = OrderStatistic.Largest(set, Math.Max(1, visible / budget));
            foreach (int place in places[query])
            {
                wanted++;
                if (set[place] >= threshold) found++;
            }
            for (int h = first; h < first + PlantedAttention.Group; h++)
            {
                float scale = 1 / MathF.Sqrt(PlantedAttention.HeadDim), largest = truth[h].AsSpan(0, visible).ToArray().Max();
                double held = 0, all = 0;
                for (int j = 0; j < visible; j++)
                {
                    double weight = Math.Exp(scale * (truth[h][j] - largest));
                    all += weight;
                    if (set[j] >= threshold) held += weight;
                }
                mass += held / all / PlantedAttention.Group / places.Length;
            }
        }
        return new LabelRow(label.Name, label.Bits, context, found / wanted, mass);
    }

    private static List<TableSection> Sections(List<LabelRow> rows) =>
    [
        .. rows.GroupBy(r => r.Context).Select(group => TableSection.Create<LabelRow>($"{group.Key:N0} tokens", [.. group],
            [("label", r => r.Label), ("bits", r => $"{r.Bits}"), ("planted keys found", r => $"{r.Planted:P1}"), ("attention held", r => $"{r.Mass:P1}")], _ => Style.Plain)),
    ];

    private static List<string> Plot(List<LabelRow> rows, string directory)
    {
        Directory.CreateDirectory(directory);
        var written = new List<string>();
        foreach (var group in rows.GroupBy(r => r.Context))
        {
            var plot = new LinePlot($"planted keys, {group.Key:N0} tokens", "found, %", LogY: false) { XLabel = "bits a label", XText = bits => $"{bits}" };
            foreach (var line in group.GroupBy(r => r.Label.Split(' ')[0].TrimEnd(',')))
                plot.Add(line.Key == "true" ? "true scores" : line.Key, line.Select(r => (r.Bits, (double?)(100 * r.Planted))), reference: line.Key == "true");
            written.AddRange(plot.Save(Path.Combine(directory, $"labels-planted-{group.Key}")));
        }
        return written;
    }
}
