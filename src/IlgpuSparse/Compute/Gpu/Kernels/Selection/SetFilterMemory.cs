using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Shared memory of <see cref="SetFilter"/>.</summary>
internal struct SetFilterMemory
{
    /// <summary>Kept tokens of the chunk, counted from its start, <see cref="SetFilter.ChunkTokens"/> of them at most.</summary>
    public ArrayView<ushort> Kept;

    /// <summary>Open tokens, key in the upper half and position inverted in the lower, <see cref="SetFilter.OpenRoom"/> of them.</summary>
    public ArrayView<ulong> Open;

    /// <summary>Counts by warp, for two steps.</summary>
    public ArrayView<uint> Totals;

    /// <summary>Words for one thread to tell the others: <see cref="SetFilter.Words"/> of them.</summary>
    public ArrayView<uint> Word;
}
