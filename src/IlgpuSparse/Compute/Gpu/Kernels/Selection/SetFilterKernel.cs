using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The end of an exact top-k over several groups a set, whose histogram is in <see cref="SelectScratch.Bins"/>: see <see cref="SetFilter"/>.</summary>
internal static class SetFilterKernel
{
    public const int GroupSize = 512;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true, MinGroups = 2 };

    /// <summary>Tokens that a group of <paramref name="threads"/> looks at in one step.</summary>
    public static int StepTokens(int threads) => 4 * threads;

    /// <summary>Grid (chunks, sets, rows).</summary>
    /// <param name="select">The selection.</param>
    /// <param name="tokens">Tokens a chunk: some steps, at most <see cref="SetFilter.ChunkTokens"/>.</param>
    public static void Run(SelectView select, int tokens)
    {
        SetFilterMemory memory;
        memory.Kept = SharedMemory.Allocate<ushort>(SetFilter.ChunkTokens);
        memory.Open = SharedMemory.Allocate<ulong>(SetFilter.OpenRoom);
        memory.Totals = SharedMemory.Allocate<uint>(2 * (GroupScan.MaxWarps + 1));
        memory.Word = SharedMemory.Allocate<uint>(SetFilter.Words);
        int row = Grid.IdxZ;
        var range = VisibleRange.Of(select, row);
        int chunks = (range.Last - range.Origin) / tokens + 1;
        if (Grid.IdxX < chunks) SetFilter.Run(select, range, (long)row * Grid.DimY + Grid.IdxY, Grid.IdxX, chunks, tokens, memory);
    }
}
