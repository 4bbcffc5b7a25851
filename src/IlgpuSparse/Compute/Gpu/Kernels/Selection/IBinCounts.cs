using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Where the counts of a <see cref="ScoreBins"/> histogram lie: bins, then groups of bins, from a first place of a view on.</summary>
internal interface IBinCounts
{
    /// <summary>Tokens at <paramref name="place"/>.</summary>
    static abstract uint One(ArrayView<uint> counts, long place);

    /// <summary>Tokens at <paramref name="place"/>, which is even from the first on, and at the one behind it.</summary>
    static abstract U2 Two(ArrayView<uint> counts, long place);
}
