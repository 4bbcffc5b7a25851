using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Shared memory of <see cref="SetFilter"/>.</summary>
internal struct SetFilterMemory
{
    /// <summary>Open tokens: position and key, <see cref="SetFilter.MaxOpen"/> of them.</summary>
    public ArrayView<U2> Open;

    /// <summary>Kept tokens by warp.</summary>
    public ArrayView<ulong> Kept;

    /// <summary>Open tokens by warp.</summary>
    public ArrayView<ulong> Opened;

    /// <summary>Words for one thread to tell the others: <see cref="SetFilter.Words"/> of them.</summary>
    public ArrayView<uint> Word;
}
