using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Counts in <see cref="SelectScratch.Bins"/>, which other groups have added to.</summary>
internal readonly struct ScratchBins : IBinCounts
{
    public static uint One(ArrayView<uint> counts, long place) => Loads.Fresh(ref counts[place]);

    public static U2 Two(ArrayView<uint> counts, long place) => Loads.Fresh(ref counts.Cast<U2>()[place >> 1]);
}
