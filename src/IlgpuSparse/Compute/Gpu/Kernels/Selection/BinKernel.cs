using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The histogram of an exact top-k, from scores in memory; what their spread is nobody says, and one does.</summary>
internal static class BinKernel
{
    public const int GroupSize = 512;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true, HoldsNext = true };

    /// <summary>Grid (chunks, sets, rows).</summary>
    public static void Run(SelectView select)
    {
        var bins = SharedMemory.Allocate<uint>(ScoreBins.Bins);
        int row = Grid.IdxZ;
        long set = (long)row * Grid.DimY + Grid.IdxY;
        var range = VisibleRange.Of(select, row);
        int origin = range.Origin + Grid.IdxX * KeyTile.Tokens(Group.DimX);
        if (origin <= range.Last)
        {
            var keys = new uint[KeyTile.PerThread];
            KeyTile.Load(select.Scores, set * select.ScoreCapacity, range, origin, keys);
            for (int i = Group.IdxX; i < ScoreBins.Bins; i += Group.DimX) bins[i] = 0u;
            Group.Barrier();
            for (int i = 0; i < KeyTile.PerThread; i++)
            {
                if (keys[i] != 0u) Atomic.Add(ref bins[ScoreBins.OfKey(keys[i], 1f)], 1u);
            }
            if (Grid.IdxX == 0 && Group.IdxX == 0) select.Scratch.Spreads[set] = 1f;
            Group.Barrier();
            ScoreBins.Flush(bins, select.Scratch, set);
        }
    }
}
