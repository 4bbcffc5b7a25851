using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>Where rows of K and V lie, <c>[block, kvHead, token in block, headDim]</c>, and which blocks are whose.</summary>
internal struct RowStore
{
    /// <summary>Address of the keys.</summary>
    public long K;

    /// <summary>Address of the values.</summary>
    public long V;

    /// <summary>Scales of Int8 rows <c>[block, kvHead, token in block]</c>; any memory otherwise.</summary>
    public ArrayView<float> KScales, VScales;

    /// <summary>Blocks <c>[table row, block of the sequence]</c>; negative where the store has none.</summary>
    public ArrayView<int> Blocks;
}
