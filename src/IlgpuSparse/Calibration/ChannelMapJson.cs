using System.Text.Json.Serialization;
using IlgpuSparse.Model;

namespace IlgpuSparse.Calibration;

/// <summary>The file form of a <see cref="ChannelMap"/>.</summary>
internal sealed class ChannelMapJson
{
    public required int Version { get; init; }
    public required string Statistic { get; init; }
    public required int HeadDim { get; init; }
    public required RopeStyle RopeStyle { get; init; }
    public string? Fingerprint { get; init; }

    /// <summary>By kind of labels.</summary>
    public IReadOnlyList<PredictionRecall>? Predictions { get; init; }

    /// <summary><c>[layer][kvHead]</c>.</summary>
    public required HeadChannels[][] Heads { get; init; }
}

/// <summary>Source-generated serialisation of <see cref="ChannelMapJson"/>.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(ChannelMapJson))]
internal sealed partial class ChannelMapJsonContext : JsonSerializerContext;
