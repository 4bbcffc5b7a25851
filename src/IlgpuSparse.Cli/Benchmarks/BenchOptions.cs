using System.CommandLine;
using System.Globalization;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>The options that every benchmark has.</summary>
internal static class BenchOptions
{
    /// <summary>Measurements a median.</summary>
    public static readonly Option<int> Samples = new("--samples") { Description = "Measurements each median is of.", DefaultValueFactory = _ => 30, HelpName = "n" };

    /// <summary>Seed.</summary>
    public static readonly Option<int?> Seed = new("--seed") { Description = "Seed of the random contents. Default: another one each time; it is printed.", HelpName = "n" };

    /// <summary>Bytes between two visits of the same memory.</summary>
    public static readonly Option<int?> Cold = new("--cold")
    {
        Description = "MiB that runs touch before one comes back to the same memory. Default: 128, or 2.5 times the L2 of a CUDA device if that is more.",
        HelpName = "mib",
    };

    /// <summary>JSON file.</summary>
    public static readonly Option<string?> Output = new("--output", "-o") { Description = "Write the JSON document there too, after every configuration.", HelpName = "path" };

    /// <summary>Markdown file.</summary>
    public static readonly Option<string?> Markdown = new("--markdown") { Description = "Write the table there as Markdown.", HelpName = "path" };

    /// <summary>Directory of plots.</summary>
    public static readonly Option<string?> Plot = new("--plot") { Description = "Write plots (PNG, SVG) over the context into that directory.", HelpName = "directory" };

    /// <summary>Saved results.</summary>
    public static readonly Option<string?> PlotFrom = new("--plot-from")
    {
        Description = "Measure nothing: take the results of an earlier run from its JSON document, for --plot, --markdown, --baseline.",
        HelpName = "path",
    };

    /// <summary>Whether kernels wait for each other.</summary>
    public static readonly Option<bool> NoOverlap = new("--no-overlap") { Description = "Let kernels of a graph begin only when those before them have ended, to see what their overlapping brings (CUDA, sm_90)." };

    /// <summary>Backend.</summary>
    public static readonly Option<string> Backend = ModelOptions.Backend();

    /// <summary>Threads of the cpu backend.</summary>
    public static readonly Option<int> Threads = ModelOptions.Threads();

    /// <summary>JSON instead of tables.</summary>
    public static readonly Option<bool> Json = ModelOptions.Json();

    /// <summary>Gives them to <paramref name="command"/>, behind its own.</summary>
    public static void AddTo(Command command)
    {
        foreach (Option option in (Option[])[Samples, Seed, Cold, Output, Markdown, Plot, PlotFrom, NoOverlap, Backend, Threads, Json]) command.Options.Add(option);
    }

    /// <summary>How to measure, as <paramref name="arguments"/> say.</summary>
    /// <exception cref="ArgumentException">A number is out of range.</exception>
    public static BenchSettings Settings(ParseResult arguments)
    {
        int samples = arguments.GetValue(Samples);
        if (samples < 1) throw new ArgumentException($"--samples {samples}: at least 1");
        int? cold = arguments.GetValue(Cold);
        if (cold < 0) throw new ArgumentException($"--cold {cold}: at least 0");
        return new BenchSettings(samples, arguments.GetValue(Seed) ?? Random.Shared.Next(), cold is { } mib ? (long)mib << 20 : null);
    }

    /// <summary>The parts of a list that commas separate.</summary>
    /// <exception cref="ArgumentException">There are none.</exception>
    public static string[] Parts(ParseResult arguments, Option<string> option)
    {
        string[] parts = arguments.GetValue(option)!.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return parts.Length > 0 ? parts : throw new ArgumentException($"{option.Name}: nothing is named");
    }

    /// <summary>One of them as a number, in which K stands for 1024.</summary>
    /// <exception cref="ArgumentException">No number, or out of range.</exception>
    public static int Number(Option<string> option, string text, int least, int most)
    {
        bool kilo = text.EndsWith('K') || text.EndsWith('k');
        if (!long.TryParse(kilo ? text[..^1] : text, NumberStyles.None, CultureInfo.InvariantCulture, out long value) || value > most) throw Bad();
        if (kilo) value *= 1024;
        return value >= least && value <= most ? (int)value : throw Bad();

        ArgumentException Bad() => new($"{option.Name} {text}: expected a whole number from {least:N0} to {most:N0}, K for 1024");
    }
}
