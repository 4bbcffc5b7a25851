using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Finds the bin of a histogram in which a selection by mass ends.</summary>
internal static class MassSearch
{
    /// <summary>Long words of shared memory that a search needs.</summary>
    public const int SumWords = GroupScan.MaxWarps + 3;

    /// <summary>Index, in the long words, of the mass before the found bin.</summary>
    public const int Before = GroupScan.MaxWarps;

    /// <summary>
    /// What is left of <paramref name="cut"/> in the first bin that reaches it, for every thread: <see cref="MassCut.Known"/> is extended by the bin's bits. A thread owns <paramref name="owned"/> of
    /// 2^<paramref name="bits"/> bins, highest keys first, and the last bin reaches the cut. The caller has passed a barrier since the histogram was written; this ends with one.
    /// </summary>
    public static MassCut Find(MassBins bins, int owned, int bits, MassCut cut, ArrayView<uint> search, ArrayView<ulong> sums)
    {
        int first = Group.IdxX * owned;
        uint count = 0;
        ulong mass = 0;
        for (int i = 0; i < owned; i++)
        {
            count += bins.Counts[first + i];
            mass += bins.Mass(first + i);
        }
        uint countBefore = GroupScan.Inclusive(count, search) - count;
        ulong massBefore = Inclusive(mass, sums, out _) - mass;
        if (!cut.IsReached(countBefore, massBefore) && cut.IsReached(countBefore + count, massBefore + mass))
        {
            int open = 1;
            for (int i = 0; i < owned; i++)
            {
                uint nextCount = countBefore + bins.Counts[first + i];
                ulong nextMass = massBefore + bins.Mass(first + i);
                if (open != 0)
                {
                    if (cut.IsReached(nextCount, nextMass))
                    {
                        open = 0;
                        search[RankSearch.Bin] = (uint)(first + i);
                        search[RankSearch.Before] = countBefore;
                        sums[Before] = massBefore;
                    }
                    countBefore = nextCount;
                    massBefore = nextMass;
                }
            }
        }
        Group.Barrier();
        return cut.After(search[RankSearch.Before], sums[Before], (cut.Known << bits) | ((1u << bits) - 1u - search[RankSearch.Bin]));
    }

    /// <summary>Sum over this thread and all before it, and <paramref name="total"/>; passes one barrier. <paramref name="sums"/> is shared memory of <see cref="GroupScan.MaxWarps"/> words.</summary>
    public static ulong Inclusive(ulong value, ArrayView<ulong> sums, out ulong total)
    {
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5;
        ulong inWarp = GroupScan.WarpInclusive(value);
        if (lane == 31) sums[warp] = inWarp;
        Group.Barrier();
        ulong upTo = GroupScan.WarpInclusive(lane < (Group.DimX >> 5) ? sums[lane] : 0ul);
        ulong before = Warp.Shuffle(upTo, Math.Max(warp - 1, 0));
        total = Warp.Shuffle(upTo, 31);
        return inWarp + (warp > 0 ? before : 0ul);
    }

    /// <summary>
    /// Weights of the forced tokens that this thread adds: those of its number, every <c>Group.DimX</c>-th. They are no part of the histograms, because their keys do not tell their scores.
    /// </summary>
    public static ulong ForcedMass(SelectView select, VisibleRange range, long scores, float maximum)
    {
        ulong mass = 0;
        int sinkEnd = Math.Min(range.SinkEnd, range.Last + 1);
        for (int token = range.First + Group.IdxX; token < sinkEnd; token += Group.DimX) mass += TokenMass.Weight(Score(select, scores + token), maximum, select.MassScale);
        for (int token = Math.Max(range.RecentStart, sinkEnd) + Group.IdxX; token <= range.Last; token += Group.DimX)
            mass += TokenMass.Weight(Score(select, scores + token), maximum, select.MassScale);
        return mass;
    }

    /// <summary>The score at <paramref name="index"/>, which a group of the same launch may have written.</summary>
    public static float Score(SelectView select, long index) => Interop.IntAsFloat(Loads.Fresh(ref select.Scores.Cast<uint>()[index]));

    /// <summary>The weight of a key; nothing for forced tokens and those that are not visible.</summary>
    public static uint Weight(uint key, float maximum, float scale) => key != 0u && key != SortableKey.Forced ? TokenMass.Weight(SortableKey.Score(key), maximum, scale) : 0u;

    /// <summary>Where a selection ends, of set number <paramref name="set"/> with mass <paramref name="open"/> beside <paramref name="forced"/>.</summary>
    public static MassCut Cut(SelectView select, VisibleRange range, long set, ulong open, ulong forced)
    {
        ulong target = TokenMass.Target(open + forced, select.Share);
        return new MassCut { Mass = target - Math.Min(target, forced), Before = forced, Most = (uint)range.Budget(select, set), Least = (uint)range.Least(select) };
    }

    /// <summary>Leaves the number of a set's tokens, and their share of the mass where it is asked for. One thread's work.</summary>
    public static void Finish(SelectView select, VisibleRange range, long set, MassCut cut, uint ties, uint weight, ulong total)
    {
        select.Counts[set] = range.Budget(select, set) - (int)(cut.Most - ties);
        if (select.Shares.Length != 0) select.Shares[set] = Ratio(cut.Before + (ulong)ties * weight, total);
    }

    /// <summary><paramref name="part"/> over <paramref name="whole"/>; exact for the whole: 1, and for nothing of nothing too.</summary>
    public static float Ratio(ulong part, ulong whole)
    {
        // thirty bits of the whole are enough; a conversion of 64 would go by way of double precision
        int shift = 0;
        while (whole >> shift >= 1ul << 30) shift++;
        float result = 1f;
        if (part < whole) result = Math.Min(1f, (float)(int)(part >> shift) / (int)(whole >> shift));
        return result;
    }
}
