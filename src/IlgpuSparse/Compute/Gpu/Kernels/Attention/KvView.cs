using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>The cache of one layer and where a step's rows are in it.</summary>
internal struct KvView
{
    /// <summary>Keys <c>[block, kvHead, token in block, headDim]</c>.</summary>
    public ArrayView<uint> K;

    /// <summary>Values, as <see cref="K"/>.</summary>
    public ArrayView<uint> V;

    /// <summary>Scales of K <c>[block, kvHead, token in block]</c> for Int8; any memory otherwise.</summary>
    public ArrayView<float> KScales;

    /// <summary>Scales of V.</summary>
    public ArrayView<float> VScales;

    /// <summary>Cache blocks <c>[row, MaxBlocks]</c>, one row of them for a prefill chunk.</summary>
    public ArrayView<int> Blocks;

    /// <summary>Positions <c>[row]</c>.</summary>
    public ArrayView<int> Positions;

    /// <summary>Selected tokens <c>[row, set, Capacity]</c>; any memory for dense attention.</summary>
    public ArrayView<int> Tokens;

    /// <summary>How many tokens are selected <c>[row, set]</c>.</summary>
    public ArrayView<int> Counts;
}
