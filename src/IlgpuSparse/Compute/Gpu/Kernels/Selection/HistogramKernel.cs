using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>First histogram and maximum of a selection by mass over several groups a set, from scores in memory.</summary>
internal static class HistogramKernel
{
    public const int GroupSize = 512;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true, HoldsNext = true };

    /// <summary>Grid (chunks, sets, rows).</summary>
    public static void Run(SelectView select)
    {
        var bins = SharedMemory.Allocate<uint>(SortableKey.TopBins);
        int row = Grid.IdxZ;
        long set = (long)row * Grid.DimY + Grid.IdxY;
        var range = VisibleRange.Of(select, row);
        int origin = range.Origin + Grid.IdxX * KeyTile.Tokens(Group.DimX);
        if (origin <= range.Last)
        {
            var keys = new uint[KeyTile.PerThread];
            KeyTile.Load(select.Scores, set * select.ScoreCapacity, range, origin, keys);
            for (int i = Group.IdxX; i < SortableKey.TopBins; i += Group.DimX) bins[i] = 0u;
            Group.Barrier();
            for (int i = 0; i < KeyTile.PerThread; i++)
            {
                if (keys[i] != 0u) Atomic.Add(ref bins[SortableKey.TopBin(keys[i])], 1u);
            }
            uint best = 0;
            for (int i = 0; i < KeyTile.PerThread; i++)
            {
                // the key of a forced token does not tell its score
                uint key = keys[i] == SortableKey.Forced ? SortableKey.Of(select.Scores[set * select.ScoreCapacity + KeyTile.Token(origin, i >> 2) + (i & 3)]) : keys[i];
                best = Math.Max(best, key);
            }
            FlushMaximum(best, select.Scratch, set);
            Group.Barrier();
            Flush(bins, select.Scratch, set);
        }
    }

    /// <summary>Takes the largest of a warp's keys into the set's maximum.</summary>
    public static void FlushMaximum(uint best, SelectScratch scratch, long set)
    {
        for (int d = 0; d < 5; d++) best = Math.Max(best, Warp.ShuffleXor(best, 1 << d));
        if ((Group.IdxX & 31) == 0) Atomic.Max(ref scratch.Maxima[set], best);
    }

    /// <summary>Adds a group's histogram to the set's.</summary>
    public static void Flush(ArrayView<uint> bins, SelectScratch scratch, long set)
    {
        int lane = Group.IdxX & 31;
        long first = set * SortableKey.TopCounts;
        for (int group = Group.IdxX >> 5; group < SortableKey.GroupBins; group += Group.DimX >> 5)
        {
            int bin = group * SortableKey.GroupBins + lane;
            uint low = bins[bin], high = bins[bin + 32], sum = low + high;
            if (low != 0u) Atomic.Add(ref scratch.Histogram[first + bin], low);
            if (high != 0u) Atomic.Add(ref scratch.Histogram[first + bin + 32], high);
            sum = GroupScan.WarpSum(sum);
            if (lane == 0 && sum != 0u) Atomic.Add(ref scratch.Histogram[first + SortableKey.TopBins + group], sum);
        }
    }
}
