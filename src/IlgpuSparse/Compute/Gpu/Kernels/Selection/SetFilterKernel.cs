using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The end of an exact top-k over several groups a set, whose histogram is in <see cref="SelectScratch.Bins"/>: see <see cref="SetFilter"/>.</summary>
internal static class SetFilterKernel
{
    public const int GroupSize = 512;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true, MinGroups = 1 };

    /// <summary>Grid (chunks, sets, rows).</summary>
    public static void Run(SelectView select)
    {
        SetFilterMemory memory;
        memory.Open = SharedMemory.Allocate<U2>(SetFilter.MaxOpen);
        memory.Kept = SharedMemory.Allocate<ulong>(GroupScan.MaxWarps);
        memory.Opened = SharedMemory.Allocate<ulong>(GroupScan.MaxWarps);
        memory.Word = SharedMemory.Allocate<uint>(SetFilter.Words);
        int row = Grid.IdxZ, tokens = KeyTile.Tokens(Group.DimX);
        var range = VisibleRange.Of(select, row);
        int chunks = (range.Last - range.Origin) / tokens + 1;
        if (Grid.IdxX < chunks) SetFilter.Run(select, range, (long)row * Grid.DimY + Grid.IdxY, Grid.IdxX, chunks, memory);
    }
}
