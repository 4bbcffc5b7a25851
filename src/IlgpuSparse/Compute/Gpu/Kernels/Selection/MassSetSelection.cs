using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Selection of a set by mass, by one group, keys in registers: histograms of 11, 11 and 10 bits hold counts and mass, and the search ends at what comes first, the mass or the budget.
/// </summary>
internal static class MassSetSelection
{
    /// <summary>Bits of the first two histograms; the last has one less.</summary>
    public const int Bits = 11;

    /// <summary>Bins of the first two histograms: as many as twice the threads of <see cref="MassSetKernel.GroupSize"/>.</summary>
    public const int Bins = 1 << Bits;

    private const int LastBits = 32 - 2 * Bits;

    /// <summary>Selects set number <paramref name="set"/>, whose visible range fits one <see cref="KeyTile"/>. The views are shared memory.</summary>
    public static void Run(SelectView select, VisibleRange range, long set, MassBins bins, ArrayView<uint> search, ArrayView<ulong> sums, ArrayView<ulong> above, ArrayView<ulong> tied)
    {
        long scores = set * select.ScoreCapacity;
        var keys = new uint[KeyTile.PerThread];
        float maximum = Load(select, range, scores, keys, search);
        bins.Clear(Bins);
        ulong open = 0;
        for (int i = 0; i < KeyTile.PerThread; i++)
        {
            uint weight = MassSearch.Weight(keys[i], maximum, select.MassScale);
            open += weight;
            if (keys[i] != 0u) bins.Add(Bins - 1 - (int)(keys[i] >> (32 - Bits)), weight);
        }
        MassSearch.Inclusive(MassSearch.ForcedMass(select, range, scores, maximum), above, out ulong forced);
        MassSearch.Inclusive(open, tied, out open);
        var cut = MassSearch.Find(bins, Bins / Group.DimX, Bits, MassSearch.Cut(select, range, set, open, forced), search, sums);

        bins.Clear(Bins);
        for (int i = 0; i < KeyTile.PerThread; i++)
        {
            if (keys[i] >> (32 - Bits) == cut.Known && keys[i] != 0u)
                bins.Add(Bins - 1 - (int)((keys[i] >> LastBits) & (Bins - 1)), MassSearch.Weight(keys[i], maximum, select.MassScale));
        }
        Group.Barrier();
        cut = MassSearch.Find(bins, Bins / Group.DimX, Bits, cut, search, sums);

        bins.Clear(1 << LastBits);
        for (int i = 0; i < KeyTile.PerThread; i++)
        {
            if (keys[i] >> LastBits == cut.Known && keys[i] != 0u)
                bins.Add((1 << LastBits) - 1 - (int)(keys[i] & ((1u << LastBits) - 1u)), MassSearch.Weight(keys[i], maximum, select.MassScale));
        }
        Group.Barrier();
        cut = MassSearch.Find(bins, (1 << LastBits) / Group.DimX, LastBits, cut, search, sums);
        if (Group.IdxX == 0)
        {
            uint weight = MassSearch.Weight(cut.Known, maximum, select.MassScale), ties = cut.Needed(bins.Counts[(1 << LastBits) - 1 - (int)(cut.Known & ((1u << LastBits) - 1u))], weight);
            MassSearch.Finish(select, range, set, cut, ties, weight, open + forced);
            // not where the others may still be reading what was found
            search[0] = ties;
        }
        Group.Barrier();
        Store(select, range, set, keys, cut.Known, (int)search[0], above, tied);
    }

    // The keys, and the largest score of all visible tokens, forced ones too.
    private static float Load(SelectView select, VisibleRange range, long scores, uint[] keys, ArrayView<uint> search)
    {
        KeyTile.Load(select.Scores, scores, range, range.Origin, keys);
        uint best = 0;
        for (int i = 0; i < KeyTile.PerThread; i++)
        {
            if (keys[i] != SortableKey.Forced) best = Math.Max(best, keys[i]);
        }
        int sinkEnd = Math.Min(range.SinkEnd, range.Last + 1);
        for (int token = range.First + Group.IdxX; token < sinkEnd; token += Group.DimX) best = Math.Max(best, SortableKey.Of(MassSearch.Score(select, scores + token)));
        for (int token = Math.Max(range.RecentStart, sinkEnd) + Group.IdxX; token <= range.Last; token += Group.DimX) best = Math.Max(best, SortableKey.Of(MassSearch.Score(select, scores + token)));
        for (int d = 0; d < 5; d++) best = Math.Max(best, Warp.ShuffleXor(best, 1 << d));
        if ((Group.IdxX & 31) == 0) search[Group.IdxX >> 5] = best;
        Group.Barrier();
        best = (Group.IdxX & 31) < (Group.DimX >> 5) ? search[Group.IdxX & 31] : 0u;
        for (int d = 0; d < 5; d++) best = Math.Max(best, Warp.ShuffleXor(best, 1 << d));
        return SortableKey.Score(best);
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
