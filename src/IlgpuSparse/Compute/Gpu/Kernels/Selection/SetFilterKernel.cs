using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The end of an exact top-k over several groups a set, whose histogram is in <see cref="SelectScratch.Bins"/>: see <see cref="SetFilter"/>.</summary>
internal static class SetFilterKernel
{
    public const int GroupSize = 512;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true, MinGroups = 2, HoldsNext = true };

    /// <summary>Tokens of the shortest chunk of a group of <paramref name="threads"/>.</summary>
    public static int ShortestChunk(int threads) => 2 * (threads >> 5) * SetFilter.WarpStep;

    /// <summary>Tokens of the longest.</summary>
    public static int LongestChunk(int threads) => (threads >> 5) * SetFilter.WarpTokens;

    /// <summary>Grid (chunks, sets, rows).</summary>
    /// <param name="select">The selection.</param>
    /// <param name="tokens">Tokens a chunk, see <see cref="SetFilter.Run"/>.</param>
    public static void Run(SelectView select, int tokens)
    {
        SetFilterMemory memory;
        memory.Open = SharedMemory.Allocate<ulong>(SetFilter.MaxOpen + SetFilter.OpenPadding);
        memory.Parted = SharedMemory.Allocate<ulong>(SetFilter.MaxOpen);
        memory.Parts = SharedMemory.Allocate<uint>(2 * OpenRank.Parts);
        memory.Totals = SharedMemory.Allocate<uint>(GroupScan.MaxWarps);
        memory.Word = SharedMemory.Allocate<uint>(SetFilter.Words);
        memory.MaxOpen = SetFilter.MaxOpen;
        int row = Grid.IdxZ;
        var range = VisibleRange.Of(select, row);
        int chunks = (range.Last - range.Origin) / tokens + 1;
        if (Grid.IdxX < chunks) SetFilter.Run(select, range, (long)row * Grid.DimY + Grid.IdxY, Grid.IdxX, chunks, tokens, memory);
    }
}
