using IlgpuSparse.Compute.Gpu.Offload;

namespace IlgpuSparse.Compute;

/// <summary>
/// K and V of one layer, for all sequences, in blocks of <see cref="BlockTokens"/> tokens. Both buffers are
/// <c>[block, kvHead, token in block, headDim]</c>, so that the tokens of one kv head stream contiguously; a sequence's tokens lie in the blocks that
/// <see cref="StepBatch.BlockTable"/> names. Int8 adds scales <c>[block, kvHead, token in block]</c>, one fp32 each.
/// </summary>
/// <param name="Format">Element type of K and V.</param>
/// <param name="K">Keys after RoPE.</param>
/// <param name="V">Values.</param>
/// <param name="KScales">Scales of K for <see cref="KvFormat.Int8"/>, else null.</param>
/// <param name="VScales">Scales of V for <see cref="KvFormat.Int8"/>, else null.</param>
public sealed record KvLayer(KvFormat Format, DeviceBuffer K, DeviceBuffer V, DeviceBuffer? KScales = null, DeviceBuffer? VScales = null)
{
    /// <summary>Tokens a block.</summary>
    public const int BlockTokens = 256;

    /// <summary>log2 of <see cref="BlockTokens"/>.</summary>
    public const int BlockShift = 8;

    /// <summary>Blocks of the rows of a step where they are not those of <see cref="StepBatch.BlockTable"/>.</summary>
    internal KvBlockTable? Table { get; init; }

    /// <summary>Whether a pass itself brings what lies here, so that nobody may read it before the pass's earlier kernels have ended.</summary>
    internal bool IsBrought { get; init; }

    /// <summary>What belongs to the layer on the device where <see cref="K"/> and <see cref="V"/> lie in host memory.</summary>
    internal OffloadedLayer? Offload { get; init; }
}
