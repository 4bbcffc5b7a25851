using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>Where the last selected token of a set lies among the histograms of a cluster's groups, each of which has its own in shared memory.</summary>
internal static class ClusterBins
{
    /// <summary>
    /// Of the set's token of rank <paramref name="wanted"/> (1 or more), from the histograms in <paramref name="counts"/> with their groups of bins behind them. Every warp finds it out for itself: telling each other would take longer.
    /// </summary>
    public static SetBin Find<TCluster>(ArrayView<uint> counts, uint wanted)
        where TCluster : struct, IKernelCount
    {
        int lane = ILGPU.Group.IdxX & 31;
        var group = new uint[TCluster.Slots];
        uint all = 0;
        for (int other = 0; other < TCluster.Slots; other++)
        {
            if (other < TCluster.Value)
            {
                group[other] = ThreadCluster.Load<TCluster>(ref counts[ScoreBins.Bins + lane], other);
                all += group[other];
            }
        }
        uint upTo = GroupScan.WarpInclusive(all), before = upTo - all;
        // one lane alone has the rank
        bool isMine = before < wanted && wanted <= upTo;
        int found = (int)GroupScan.WarpSum(isMine ? (uint)lane : 0u);
        before = GroupScan.WarpSum(isMine ? before : 0u);

        int low = found * ScoreBins.GroupBins + 2 * lane;
        var pairs = counts.Cast<U2>();
        var pair = new U2[TCluster.Slots];
        U2 sum = default;
        for (int other = 0; other < TCluster.Slots; other++)
        {
            if (other < TCluster.Value)
            {
                pair[other] = ThreadCluster.Load<TCluster>(ref pairs[low >> 1], other);
                sum.X += pair[other].X;
                sum.Y += pair[other].Y;
            }
        }
        upTo = before + GroupScan.WarpInclusive(sum.X + sum.Y);
        uint start = upTo - sum.X - sum.Y;
        isMine = start < wanted && wanted <= upTo;
        bool isHigh = wanted > start + sum.X;
        SetBin result;
        result.Bin = (int)GroupScan.WarpSum(isMine ? (uint)low + (isHigh ? 1u : 0u) : 0u);
        result.Before = (int)GroupScan.WarpSum(isMine ? isHigh ? start + sum.X : start : 0u);
        result.Open = (int)GroupScan.WarpSum(isMine ? isHigh ? sum.Y : sum.X : 0u);

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
