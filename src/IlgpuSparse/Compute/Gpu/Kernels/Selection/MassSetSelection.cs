using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Selection of a set by mass, by one group, keys in registers: as <see cref="SetSelection"/>, but the histograms of 11, 11 and 10 bits hold the mass too, and the search ends at what comes first, the mass or the budget.
/// </summary>
internal static class MassSetSelection
{
    /// <summary>Bits of the first two histograms; the last has one less.</summary>
    public const int Bits = 11;

    /// <summary>Bins of the first two histograms: as many as twice the threads of <see cref="SelectSetKernel.GroupSize"/>.</summary>
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
        var cut = MassSearch.Find(bins, Bins / Group.DimX, Bits, MassSearch.Cut(select, range, open, forced), search, sums);

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
        SetSelection.Store(select, range, set, keys, cut.Known, (int)search[0], above, tied);
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
}
