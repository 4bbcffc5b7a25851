using System.Text.Json.Serialization;

namespace IlgpuSparse.Cli.Evaluations;

/// <summary>The results of an evaluation with what is needed to read them.</summary>
internal sealed record EvaluationDocument
{
    /// <summary>The command line.</summary>
    public required string Command { get; init; }

    /// <summary>When it began, UTC.</summary>
    public required DateTime Date { get; init; }

    /// <summary>File name of the model.</summary>
    public required string Model { get; init; }

    /// <summary>Backend.</summary>
    public required string Backend { get; init; }

    /// <summary>Device and driver.</summary>
    public required string Device { get; init; }

    /// <summary>Element type of K and V.</summary>
    public required string KvType { get; init; }

    /// <summary>Seed of the generated texts.</summary>
    public required int Seed { get; init; }

    /// <summary>Whether it was ended before the grid was complete.</summary>
    public bool Cancelled { get; init; }

    /// <summary>One a task and attention, as far as they are complete.</summary>
    public required IReadOnlyList<EvaluationRow> Rows { get; init; }

    /// <summary>All but the results, in words.</summary>
    [JsonIgnore]
    public string Summary => $"`{Command}` on {Backend} ({Device}), {Model}, K and V {KvType}, {Date:yyyy-MM-dd}; seed {Seed}.";
}
