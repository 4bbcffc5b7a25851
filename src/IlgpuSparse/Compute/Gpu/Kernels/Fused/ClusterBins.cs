using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>Where the last selected token of a set lies among the histograms of a cluster's groups, each of which has its own in shared memory and sends the others what they need of it: first the counts of its groups of bins, then those of the bins of one group.</summary>
internal static class ClusterBins
{
    private const int Groups = ScoreBins.Bins / ScoreBins.GroupBins;

    /// <summary>Units of 16 bytes that come from each group.</summary>
    public const int Units = (Groups + ScoreBins.GroupBins) / 4;

    /// <summary>Says how much will come; one thread calls.</summary>
    public static void Expect<TCluster>(ArrayView<ulong> barriers)
        where TCluster : struct, IKernelCount
    {
        BulkCopy.Expect(ref barriers[0], TCluster.Value * Groups * sizeof(uint));
        BulkCopy.Expect(ref barriers[1], TCluster.Value * ScoreBins.GroupBins * sizeof(uint));
    }

    /// <summary>
    /// Of the set's token of rank <paramref name="wanted"/> (1 or more), from the group's histogram <paramref name="counts"/> and what comes from the others to <paramref name="sent"/>, <see cref="Units"/> of shared memory, counted by the first and the second of
    /// <paramref name="barriers"/>, which know how much (<see cref="Expect"/>). Every warp finds it out for itself: telling each other would take longer.
    /// </summary>
    public static SetBin Find<TCluster>(ArrayView<uint> counts, ArrayView<uint> sent, ArrayView<ulong> barriers, uint wanted)
        where TCluster : struct, IKernelCount
    {
        int lane = ILGPU.Group.IdxX & 31, warp = ILGPU.Group.IdxX >> 5, warps = ILGPU.Group.DimX >> 5, rank = Grid.IdxX;
        var sums = sent.Cast<int>();
        for (int own = warp; own < Groups; own += warps)
        {
            int count = (int)ScoreBins.SumGroup(counts, own);
            if (lane < TCluster.Value) ThreadCluster.Send<TCluster>(ref sums[rank * Groups + own], lane, count, ref barriers[0]);
        }
        ThreadCluster.AwaitSent<TCluster>(ref barriers[0]);
        var group = new uint[TCluster.Slots];
        uint all = 0;
        for (int other = 0; other < TCluster.Slots; other++)
        {
            if (other < TCluster.Value)
            {
                group[other] = sent[other * Groups + lane];
                all += group[other];
            }
        }
        uint upTo = GroupScan.WarpInclusive(all), before = upTo - all;
        // one lane alone has the rank
        bool isMine = before < wanted && wanted <= upTo;
        int found = (int)GroupScan.WarpSum(isMine ? (uint)lane : 0u);
        before = GroupScan.WarpSum(isMine ? before : 0u);

        int low = found * ScoreBins.GroupBins + 2 * lane;
        var bins = sent.SubView(TCluster.Value * Groups, TCluster.Value * ScoreBins.GroupBins);
        var both = bins.Cast<ulong>();
        for (int other = warp; other < TCluster.Value; other += warps) ThreadCluster.Send<TCluster>(ref both[rank * (ScoreBins.GroupBins / 2) + lane], other, counts.Cast<ulong>()[low >> 1], ref barriers[1]);
        ThreadCluster.AwaitSent<TCluster>(ref barriers[1]);
        var pairs = bins.Cast<U2>();
        var pair = new U2[TCluster.Slots];
        U2 sum = default;
        for (int other = 0; other < TCluster.Slots; other++)
        {
            if (other < TCluster.Value)
            {
                pair[other] = pairs[other * (ScoreBins.GroupBins / 2) + lane];
                sum.X += pair[other].X;
                sum.Y += pair[other].Y;
            }
        }
        var result = SetBin.Of(low, sum.X, sum.Y, before, wanted);

        // the same of the groups before this one, from the same counts
        uint earlierBefore = 0, earlierOpen = 0;
        for (int other = 0; other < TCluster.Slots; other++)
        {
            if (other < TCluster.Value)
            {
                uint own = (lane < found ? group[other] : 0u) + (low < result.Bin ? pair[other].X : 0u) + (low + 1 < result.Bin ? pair[other].Y : 0u);
                uint open = (low == result.Bin ? pair[other].X : 0u) + (low + 1 == result.Bin ? pair[other].Y : 0u);
                earlierBefore += other < Grid.IdxX ? own : 0u;
                earlierOpen += other < Grid.IdxX ? open : 0u;
            }
        }
        result.EarlierBefore = (int)GroupScan.WarpSum(earlierBefore);
        result.EarlierOpen = (int)GroupScan.WarpSum(earlierOpen);
        return result;
    }
}
