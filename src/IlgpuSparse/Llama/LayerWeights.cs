using IlgpuSparse.Compute;

namespace IlgpuSparse.Llama;

/// <summary>Weights of one decoder layer. Either <see cref="Gate"/>, <see cref="Up"/> and <see cref="Down"/>, or <see cref="Router"/> and <see cref="Experts"/> are set.</summary>
internal sealed record LayerWeights : IDisposable
{
    /// <summary>RMSNorm before attention <c>[hidden]</c>.</summary>
    public required WeightMatrix InputNorm { get; init; }

    /// <summary>Query projection <c>[heads · headDim, hidden]</c>.</summary>
    public required WeightMatrix Q { get; init; }

    /// <summary>Key projection <c>[kvHeads · headDim, hidden]</c>.</summary>
    public required WeightMatrix K { get; init; }

    /// <summary>Value projection <c>[kvHeads · headDim, hidden]</c>.</summary>
    public required WeightMatrix V { get; init; }

    /// <summary>Output projection <c>[hidden, heads · headDim]</c>.</summary>
    public required WeightMatrix O { get; init; }

    public WeightMatrix? QBias { get; init; }
    public WeightMatrix? KBias { get; init; }
    public WeightMatrix? VBias { get; init; }
    public WeightMatrix? OBias { get; init; }

    /// <summary>RMSNorm before the feed-forward layer <c>[hidden]</c>.</summary>
    public required WeightMatrix MlpNorm { get; init; }

    /// <summary>Gate projection <c>[intermediate, hidden]</c>.</summary>
    public WeightMatrix? Gate { get; init; }

    /// <summary>Up projection <c>[intermediate, hidden]</c>.</summary>
    public WeightMatrix? Up { get; init; }

    /// <summary>Down projection <c>[hidden, intermediate]</c>.</summary>
    public WeightMatrix? Down { get; init; }

    public WeightMatrix? GateBias { get; init; }
    public WeightMatrix? UpBias { get; init; }
    public WeightMatrix? DownBias { get; init; }

    /// <summary>Q, K and V with their biases.</summary>
    public QkvWeights Qkv => new(Q, K, V, QBias, KBias, VBias);

    /// <summary>Gate and up projection with their biases, where there are no experts.</summary>
    public GateUpWeights GateUp => new(Gate!, Up!, GateBias, UpBias);

    /// <summary>Router <c>[experts, hidden]</c>.</summary>
    public WeightMatrix? Router { get; init; }

    /// <summary>The experts.</summary>
    public ExpertWeights? Experts { get; init; }

    /// <summary>Bytes that one token reads: all of it, or of the experts only the active ones.</summary>
    public long ReadBytes => Plain().Sum(w => w.ByteLength)
        + (Experts is null ? 0 : Experts.Active * (Experts.Gate[0].ByteLength + Experts.Up[0].ByteLength + Experts.Down[0].ByteLength));

    /// <summary>The projections, those of experts included.</summary>
    public IEnumerable<WeightMatrix> Matrices => Plain().Where(weight => weight.Rows > 1).Concat(Experts is null ? [] : Experts.Gate.Concat(Experts.Up).Concat(Experts.Down));

    private IEnumerable<WeightMatrix> Plain() => new[]
        { InputNorm, Q, K, V, O, QBias, KBias, VBias, OBias, MlpNorm, Gate, Up, Down, GateBias, UpBias, DownBias, Router }.OfType<WeightMatrix>();

    public void Dispose()
    {
        foreach (var weight in Plain()) weight.Dispose();
        Experts?.Dispose();
    }
}
