using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Selection by mass, one group a set: contexts that fit a <see cref="KeyTile"/>.</summary>
internal static class MassSetKernel
{
    public const int GroupSize = 1024;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true, HoldsNext = true };

    /// <summary>Grid (sets, rows).</summary>
    public static void Run(SelectView select)
    {
        var counts = SharedMemory.Allocate<uint>(MassSetSelection.Bins);
        var low = SharedMemory.Allocate<uint>(MassSetSelection.Bins);
        var high = SharedMemory.Allocate<uint>(MassSetSelection.Bins);
        var search = SharedMemory.Allocate<uint>(RankSearch.ScratchWords);
        var sums = SharedMemory.Allocate<ulong>(MassSearch.SumWords);
        var above = SharedMemory.Allocate<ulong>(GroupScan.MaxWarps);
        var tied = SharedMemory.Allocate<ulong>(GroupScan.MaxWarps);
        int row = Grid.IdxY;
        MassSetSelection.Run(select, VisibleRange.Of(select, row), (long)row * Grid.DimX + Grid.IdxX, new MassBins { Counts = counts, Low = low, High = high }, search, sums, above, tied);
    }
}
