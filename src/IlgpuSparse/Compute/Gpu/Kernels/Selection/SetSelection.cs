using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Exact top-k of a set by one group, keys in registers: three histograms of 12, 10 and 10 bits find the key of the last selected token, prefix sums place the positions.</summary>
internal static class SetSelection
{
    /// <summary>Selects set number <paramref name="set"/>, whose visible range fits one <see cref="KeyTile"/>. The views are shared memory.</summary>
    public static void Run(SelectView select, VisibleRange range, long set, ArrayView<uint> bins, ArrayView<uint> search, ArrayView<ulong> above, ArrayView<ulong> tied)
    {
        int budget = range.Budget(select);
        var keys = new uint[KeyTile.PerThread];
        KeyTile.Load(select.Scores, set * select.ScoreCapacity, range, range.Origin, keys);

        Clear(bins, SortableKey.TopBins);
        for (int i = 0; i < KeyTile.PerThread; i++)
        {
            if (keys[i] != 0u) Atomic.Add(ref bins[SortableKey.TopBin(keys[i])], 1u);
        }
        Group.Barrier();
        RankSearch.Find(bins, SortableKey.TopBins / Group.DimX, (uint)budget, search);
        uint known = SortableKey.TopBins - 1 - search[RankSearch.Bin];
        uint rank = (uint)budget - search[RankSearch.Before];

        Clear(bins, SortableKey.LowBins);
        for (int i = 0; i < KeyTile.PerThread; i++)
        {
            if (keys[i] >> SortableKey.LowBits == known && keys[i] != 0u) Atomic.Add(ref bins[SortableKey.LowBin(keys[i], 10)], 1u);
        }
        Group.Barrier();
        RankSearch.Find(bins, SortableKey.LowBins / Group.DimX, rank, search);
        known = (known << 10) | (SortableKey.LowBins - 1 - search[RankSearch.Bin]);
        rank -= search[RankSearch.Before];

        Clear(bins, SortableKey.LowBins);
        for (int i = 0; i < KeyTile.PerThread; i++)
        {
            if (keys[i] >> 10 == known && keys[i] != 0u) Atomic.Add(ref bins[SortableKey.LowBin(keys[i], 0)], 1u);
        }
        Group.Barrier();
        RankSearch.Find(bins, SortableKey.LowBins / Group.DimX, rank, search);
        uint threshold = (known << 10) | (SortableKey.LowBins - 1 - search[RankSearch.Bin]);
        int ties = (int)(rank - search[RankSearch.Before]);

        Store(select, range, set, keys, threshold, ties, above, tied);
        if (Group.IdxX == 0) select.Counts[set] = budget;
    }

    private static void Clear(ArrayView<uint> bins, int count)
    {
        for (int i = Group.IdxX; i < count; i += Group.DimX) bins[i] = 0u;
        Group.Barrier();
    }

    /// <summary>Writes all keys above the threshold and the first <paramref name="ties"/> of those equal to it, in order of position.</summary>
    public static void Store(SelectView select, VisibleRange range, long set, uint[] keys, uint threshold, int ties, ArrayView<ulong> above, ArrayView<ulong> tied)
    {
        uint aboveCounts = 0, tiedCounts = 0;
        for (int i = 0; i < KeyTile.PerThread; i++)
        {
            if (keys[i] > threshold) aboveCounts += 1u << (8 * (i >> 2));
            if (keys[i] == threshold) tiedCounts += 1u << (8 * (i >> 2));
        }
        ulong aboveStarts = KeyTile.Starts(aboveCounts, above, out _);
        ulong tiedStarts = KeyTile.Starts(tiedCounts, tied, out _);
        long output = set * select.SetCapacity;
        for (int quarter = 0; quarter < 4; quarter++)
        {
            int token = KeyTile.Token(range.Origin, quarter);
            int aboveBefore = KeyTile.Start(aboveStarts, quarter), tiedBefore = KeyTile.Start(tiedStarts, quarter);
            for (int i = 0; i < 4; i++)
            {
                uint key = keys[quarter * 4 + i];
                bool isTied = key == threshold;
                if (key > threshold || (isTied && tiedBefore < ties)) select.Indices[output + aboveBefore + Math.Min(tiedBefore, ties)] = token + i;
                if (key > threshold) aboveBefore++;
                if (isTied) tiedBefore++;
            }
        }
    }
}
