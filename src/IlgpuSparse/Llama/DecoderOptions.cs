using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Llama;

/// <summary>What a <see cref="LlamaDecoder"/> is built for.</summary>
public sealed record DecoderOptions
{
    private const int DefaultChunk = 512;

    /// <summary>Tokens that the cache holds, over all sequences.</summary>
    public required int Capacity { get; init; }

    /// <summary>Element type of K and V.</summary>
    public KvFormat KvFormat { get; init; } = KvFormat.F16;

    /// <summary>Where K and V lie.</summary>
    public KvPlacement KvPlacement { get; init; }

    /// <summary>Rows of K and V that were read lately and stay on the device, a layer and kv head, where K and V lie in host memory; 0 for none.</summary>
    public int HotTokens { get; init; }

    /// <summary>Whether rows of K and V in host memory are brought a layer ahead; Double Sparsity alone predicts.</summary>
    public KvPrediction KvPrediction { get; init; }

    /// <summary>
    /// With <see cref="KvPrediction.Late"/>: what the estimated mass of a row that was not brought ahead has to be of the average of its list to be fetched late. 0 fetches all, and results are those without prediction. What is not
    /// fetched is left out; with mean-value correction it stands in by its mass.
    /// </summary>
    public float KvLateLeast { get; init; }

    /// <summary>
    /// Layers whose sets were predicted worse than this in calibration (<see cref="ChannelMap.Predictions"/>: the share of a set that its prediction holds) are not predicted: their rows are fetched when they are known. Layers of a map that
    /// does not say are all predicted, but for the first. With <see cref="KvPrediction.Trust"/> labels that calibration did not judge and sets smaller than its own are not predicted either, unless this is 0.
    /// </summary>
    public float KvLeastRecall { get; init; } = 0.65f;

    /// <summary>How decode steps attend. Prefill is dense.</summary>
    public AttentionOptions Attention { get; init; } = AttentionOptions.Dense;

    /// <summary>The channels for labels; needed by <see cref="AttentionKind.DoubleSparsity"/>.</summary>
    public ChannelMap? Channels { get; init; }

    /// <summary>Tokens a prefill chunk: bounds the scratch memory at any prompt length. 0 leaves it to the backend (<see cref="ComputeBackend.PrefillChunk"/>).</summary>
    public int PrefillChunk { get; init; }

    /// <summary>Most sequences a decode step.</summary>
    public int MaxSequences { get; init; } = 1;

    /// <summary>These options with the chunk that a decoder on <paramref name="backend"/> takes; null for one that has no wishes of its own.</summary>
    internal DecoderOptions Resolve(ComputeBackend? backend, LlamaConfig config)
    {
        if (PrefillChunk != 0) return this;
        int chunk = backend?.PrefillChunk(config) ?? DefaultChunk;
        return this with { PrefillChunk = Math.Max(1, Math.Min(chunk, Capacity)) };
    }
}
