using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;

namespace IlgpuSparse.Llama;

/// <summary>What a <see cref="LlamaDecoder"/> is built for.</summary>
public sealed record DecoderOptions
{
    /// <summary>Tokens that the cache holds, over all sequences.</summary>
    public required int Capacity { get; init; }

    /// <summary>Element type of K and V.</summary>
    public KvFormat KvFormat { get; init; } = KvFormat.F16;

    /// <summary>How decode steps attend. Prefill is dense.</summary>
    public AttentionOptions Attention { get; init; } = AttentionOptions.Dense;

    /// <summary>The channels for labels; needed by <see cref="AttentionKind.DoubleSparsity"/>.</summary>
    public ChannelMap? Channels { get; init; }

    /// <summary>Tokens a prefill chunk: bounds the scratch memory at any prompt length.</summary>
    public int PrefillChunk { get; init; } = 512;

    /// <summary>Most sequences a decode step.</summary>
    public int MaxSequences { get; init; } = 1;
}
