using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Shared memory of <see cref="SetFilter"/>.</summary>
internal struct SetFilterMemory
{
    /// <summary>Open tokens, key in the upper half and position inverted in the lower: <see cref="MaxOpen"/> and <see cref="SetFilter.OpenPadding"/>.</summary>
    public ArrayView<ulong> Open;

    /// <summary>Open tokens in order of their part of the bin, as many; of length zero where there are never many.</summary>
    public ArrayView<ulong> Parted;

    /// <summary>Counts of the parts and where they begin, two times <see cref="OpenRank.Parts"/>; where there is <see cref="Parted"/>.</summary>
    public ArrayView<uint> Parts;

    /// <summary>Counts by warp.</summary>
    public ArrayView<uint> Totals;

    /// <summary>Words for one thread to tell the others: <see cref="SetFilter.Words"/> of them.</summary>
    public ArrayView<uint> Word;

    /// <summary>Open tokens that can be ranked; more, which takes many equal scores, are left to <see cref="WholeSet"/>.</summary>
    public int MaxOpen;
}
