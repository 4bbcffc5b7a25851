using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>One group a set: contexts that fit a <see cref="KeyTile"/>.</summary>
internal static class SelectSetKernel
{
    public const int GroupSize = 1024;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true };

    /// <summary>Grid (sets, rows).</summary>
    public static void Run(SelectView select)
    {
        var bins = SharedMemory.Allocate<uint>(SortableKey.TopBins);
        var search = SharedMemory.Allocate<uint>(RankSearch.ScratchWords);
        var above = SharedMemory.Allocate<ulong>(GroupScan.MaxWarps);
        var tied = SharedMemory.Allocate<ulong>(GroupScan.MaxWarps);
        int row = Grid.IdxY;
        SetSelection.Run(select, VisibleRange.Of(select, row), (long)row * Grid.DimX + Grid.IdxX, bins, search, above, tied);
    }
}
