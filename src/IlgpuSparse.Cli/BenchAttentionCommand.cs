using System.CommandLine;
using System.Globalization;
using IlgpuSparse.Attention;
using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Compute;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse bench attention</c>: the attention of one decode step, checked, then timed over contexts, head layouts and budgets.</summary>
internal sealed class BenchAttentionCommand
{
    private const string Benchmark = "attention";

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
    private static readonly Option<KvFormat> s_kvType = ModelOptions.KvType(KvFormat.F16);
    private static readonly Option<bool> s_stages = new("--stages") { Description = "Time the parts of a step alone too: append, score, select (scores and sets), attend." };
    private static readonly Option<int> s_samples = new("--samples") { Description = "Measurements each median is of.", DefaultValueFactory = _ => 30, HelpName = "n" };
    private static readonly Option<int?> s_seed = new("--seed") { Description = "Seed of the random contents. Default: another one each time; it is printed.", HelpName = "n" };
    private static readonly Option<int?> s_cold = new("--cold")
    {
        Description = "MiB that runs touch before one comes back to the same memory. Default: 128, or 2.5 times the L2 of a CUDA device if that is more.",
        HelpName = "mib",
    };
    private static readonly Option<string?> s_baseline = new("--baseline") { Description = "Times of PyTorch on the same device to compare with, one JSON object a line.", HelpName = "path" };
    private static readonly Option<string?> s_output = new("--output", "-o") { Description = "Write the JSON document there too, after every configuration.", HelpName = "path" };
    private static readonly Option<string?> s_markdown = new("--markdown") { Description = "Write the table there as Markdown.", HelpName = "path" };
    private static readonly Option<string?> s_plot = new("--plot") { Description = "Write plots (PNG, SVG) into that directory: time, speed-up and rate over the context.", HelpName = "directory" };
    private static readonly Option<string?> s_plotFrom = new("--plot-from")
    {
        Description = "Measure nothing: take the results of an earlier run from its JSON document, for --plot, --markdown, --baseline.",
        HelpName = "path",
    };
    private static readonly Option<string> s_backend = ModelOptions.Backend();
    private static readonly Option<int> s_threads = ModelOptions.Threads();
    private static readonly Option<bool> s_json = ModelOptions.Json();

    private readonly ParseResult _arguments;

    private BenchAttentionCommand(ParseResult arguments) => _arguments = arguments;

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command("attention", """
            Times the attention of one decode step on random contents: appending K, V and labels, scoring, selecting, attending, all included.
            Each configuration is first checked against double precision; a wrong result is an error and no time is given.
            On CUDA a step is timed replayed from a graph (the headline) and launched call by call.
            """)
        {
            s_contexts, s_heads, s_batches, s_attention, s_kvType, s_stages, s_samples, s_seed, s_cold, s_baseline, s_output, s_markdown, s_plot, s_plotFrom, s_backend, s_threads, s_json,
        };
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => new BenchAttentionCommand(arguments).Run(cancellation)));
        return command;
    }

    private int Run(CancellationToken cancellation)
    {
        var baseline = _arguments.GetValue(s_baseline) is { } path ? AttentionBaseline.Load(path) : null;
        if (_arguments.GetValue(s_plotFrom) is not { } from)
        {
            var (measured, cancelled) = Measure(baseline, cancellation);
            Report(measured);
            return cancelled ? 130 : measured.Rows.Any(r => r.Failed) ? 1 : 0;
        }
        var saved = JsonOutput.Read<BenchDocument>(File.ReadAllText(from), from);
        if (saved.Benchmark != Benchmark) throw new FormatException($"{from} holds results of '{saved.Benchmark}', not of '{Benchmark}'");
        Report(baseline is null ? saved : saved with { Rows = [.. saved.Rows.Select(baseline.Compare)] });
        return 0;
    }

    private void Report(BenchDocument document)
    {
        Save(document);
        var table = new BenchTable(document.Rows);
        if (_arguments.GetValue(s_json)) JsonOutput.Write(document);
        else
        {
            Console.Out.WriteLine(document.Summary);
            table.Write(AnsiConsole.Console);
        }
        if (_arguments.GetValue(s_markdown) is { } markdown) File.WriteAllText(markdown, $"{document.Summary}\n\n{table.ToMarkdown()}");
        if (_arguments.GetValue(s_plot) is not { } plots) return;
        foreach (string file in AttentionPlots.Save(document, plots)) CommandGuard.Errors.WriteLine(file);
    }

    private (BenchDocument Document, bool Cancelled) Measure(AttentionBaseline? baseline, CancellationToken cancellation)
    {
        var grid = ReadGrid();
        var settings = ReadSettings();
        using var backend = ComputeBackends.Create(_arguments.GetValue(s_backend)!, _arguments.GetValue(s_threads));
        var document = new BenchDocument
        {
            Benchmark = Benchmark,
            Command = "ilgpusparse " + string.Join(' ', _arguments.Tokens.Select(t => t.Value)),
            Date = DateTime.UtcNow,
            Backend = backend.Name,
            Device = backend.Description,
            Seed = settings.Seed,
            Samples = settings.Samples,
            Rows = [],
        };
        CommandGuard.Errors.WriteLine($"{document.Backend}: {document.Device}; seed {document.Seed}");
        var (rows, cancelled) = Measure(backend, grid, settings, baseline, document, cancellation);
        return (document with { Rows = rows }, cancelled);
    }

    private (List<BenchRow> Rows, bool Cancelled) Measure(
        ComputeBackend backend, IReadOnlyList<AttentionConfiguration> grid, BenchSettings settings, AttentionBaseline? baseline, BenchDocument document, CancellationToken cancellation)
    {
        var rows = new List<BenchRow>();
        bool cancelled = false;
        var errors = CommandGuard.Errors;
        void All(Action<string, int> report)
        {
            try
            {
                report("memory rate", 0);
                var yardstick = Yardstick.Measure(backend, settings.Samples, cancellation);
                rows.Add(yardstick.Row);
                using var benchmark = new AttentionBenchmark(backend, grid, settings, yardstick, cancellation);
                for (int i = 0; i < grid.Count; i++)
                {
                    report(grid[i].ToString(), i);
                    var measured = benchmark.Measure(grid[i]);
                    rows.AddRange(baseline is null ? measured : measured.Select(baseline.Compare));
                    Save(document with { Rows = rows });
                }
            }
            catch (OperationCanceledException)
            {
                // what was measured until now is still worth printing
                cancelled = true;
            }
        }

        if (errors.Profile.Capabilities.Interactive)
        {
            errors.Progress().AutoClear(true).Start(progress =>
            {
                var task = progress.AddTask("memory rate", maxValue: grid.Count);
                All((what, done) =>
                {
                    task.Description = Markup.Escape(what);
                    task.Value = done;
                });
            });
        }
        else All((what, done) => errors.WriteLine($"{done + 1}/{grid.Count} {what}"));
        return (rows, cancelled);
    }

    private void Save(BenchDocument document)
    {
        if (_arguments.GetValue(s_output) is { } path) File.WriteAllText(path, JsonOutput.Text(document));
    }

    private BenchSettings ReadSettings()
    {
        int samples = _arguments.GetValue(s_samples);
        if (samples < 1) throw new ArgumentException($"--samples {samples}: at least 1");
        int? cold = _arguments.GetValue(s_cold);
        if (cold < 0) throw new ArgumentException($"--cold {cold}: at least 0");
        return new BenchSettings(samples, _arguments.GetValue(s_seed) ?? Random.Shared.Next(), cold is { } mib ? (long)mib << 20 : null, _arguments.GetValue(s_stages));
    }

    private IReadOnlyList<AttentionConfiguration> ReadGrid()
    {
        HeadLayout[] layouts = [.. Parts(s_heads).Select(HeadLayout.Parse)];
        AttentionOptions[] attentions = [.. _arguments.GetValue(s_attention)!.Select(AttentionOptions.Parse)];
        if (attentions.FirstOrDefault(a => a.DenseLayers > 0) is { } layered) throw new ArgumentException($"--attention {layered}: one layer is measured, so dense-layers has no meaning");
        int[] batches = [.. Parts(s_batches).Select(p => Number(s_batches, p, 1, 1024))];
        int[] contexts = [.. Parts(s_contexts).Select(p => Number(s_contexts, p, 1, 1 << 24))];
        return AttentionConfiguration.Grid(layouts, attentions, batches, contexts, _arguments.GetValue(s_kvType));
    }

    private string[] Parts(Option<string> option)
    {
        string text = _arguments.GetValue(option)!;
        string[] parts = text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return parts.Length > 0 ? parts : throw new ArgumentException($"{option.Name}: nothing is named");
    }

    private static int Number(Option<string> option, string text, int least, int most)
    {
        bool kilo = text.EndsWith('K') || text.EndsWith('k');
        if (!long.TryParse(kilo ? text[..^1] : text, NumberStyles.None, CultureInfo.InvariantCulture, out long value) || value > most) throw Bad();
        if (kilo) value *= 1024;
        return value >= least && value <= most ? (int)value : throw Bad();

        ArgumentException Bad() => new($"{option.Name} {text}: expected a whole number from {least:N0} to {most:N0}, K for 1024");
    }
}
