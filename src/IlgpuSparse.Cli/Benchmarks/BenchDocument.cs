using System.Text.Json.Serialization;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>A benchmark's results with what is needed to read them.</summary>
internal sealed record BenchDocument
{
    /// <summary>Which benchmark: attention.</summary>
    public required string Benchmark { get; init; }

    /// <summary>The command line.</summary>
    public required string Command { get; init; }

    /// <summary>When it began, UTC.</summary>
    public required DateTime Date { get; init; }

    /// <summary>Backend.</summary>
    public required string Backend { get; init; }

    /// <summary>Device and driver.</summary>
    public required string Device { get; init; }

    /// <summary>Seed of the random numbers.</summary>
    public required int Seed { get; init; }

    /// <summary>Measurements each median is of.</summary>
    public required int Samples { get; init; }

    /// <summary>All but the results, in words.</summary>
    [JsonIgnore]
    public string Summary => $"`{Command}` on {Backend} ({Device}), {Date:yyyy-MM-dd}; seed {Seed}, medians of {Samples}.";

    /// <summary>Results, the yardstick first.</summary>
    public required IReadOnlyList<BenchRow> Rows { get; init; }
}
