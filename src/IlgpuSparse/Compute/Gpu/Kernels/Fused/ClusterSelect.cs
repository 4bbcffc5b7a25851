using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>
/// From the scores and histograms of a cluster's groups, all in shared memory, to the tokens that each of them attends to: as <see cref="SetFilter"/>, with what there goes by way of memory sent from group to group.
/// </summary>
internal struct ClusterSelect
{
    /// <summary>Row and set.</summary>
    public long Number;

    /// <summary>Tokens to select.</summary>
    public int Budget;

    /// <summary>First token of the group's slice.</summary>
    public int Start;

    /// <summary>End of its tokens.</summary>
    public int End;

    /// <summary>Tokens a slice has room for.</summary>
    public int Slice;

    /// <summary>One over the spread of <see cref="ScoreBins"/>.</summary>
    public float Inverse;

    /// <summary>The group's own part of the set's tokens.</summary>
    public ListTarget Own;

    /// <summary>Kv head of the set.</summary>
    public int KvHead;

    /// <summary>First tokens of a list whose K and V are asked for before the list is complete, if it is long: as many as rings hold.</summary>
    public int Ahead;

    /// <summary>
    /// Fills the groups' lists. <see cref="ListTarget.Before"/> is not known before. Needs <see cref="GroupScan.MaxWarps"/> words in <paramref name="totals"/>; the group's histogram is complete. <paramref name="scores"/> are gone afterwards, and the set in memory is still to be written.
    /// </summary>
    public readonly void Run<TCluster, THead>(SelectView select, VisibleRange range, KvView cache, AttentionArgs attention, ArrayView<uint> counts, ArrayView<uint> sent, ArrayView<ulong> open, ArrayView<ulong> barriers, ArrayView<float> scores, ArrayView<uint> masks, ArrayView<uint> totals, int keepsScores)
        where TCluster : struct, IKernelCount
        where THead : struct, IHeadSize
    {
        int lane = Group.IdxX & 31, rank = Grid.IdxX;
        ThreadCluster.AwaitBegun<TCluster>();
        var last = ClusterBins.Find<TCluster>(counts, sent, barriers.SubView(FusedLayout.BinBarrier, 2), (uint)Budget);

        // two bits for each of the group's tokens, which are read again once it is known where they go
        int stretch = SetSlice.Stretch(Slice, Group.DimX >> 5), from = Start + (Group.IdxX >> 5) * stretch;
        var quads = scores.Cast<F4>();
        var bounds = FilterBounds.Of(last.Bin, Inverse);
        uint found = 0;
        for (int part = 0; part < stretch; part += SetFilter.WarpTokens)
        {
            var bits = SetFilter.Bits<SharedScores>(range, quads, -(long)Start, from + part, Math.Min(stretch - part, SetFilter.WarpTokens), End, bounds, default, default);
            int at = (part >> 9) * Group.DimX + Group.IdxX;
            masks[at] = bits.Kept;
            masks[at + Group.DimX] = bits.Open;
            found += bits.Counts;
        }
        uint earlier = GroupScan.Inclusive(found, totals, out uint all) - found;
        int place = last.EarlierOpen + (int)(earlier >> 16), count = last.Open;

        // the groups that attend to open tokens rank them, each all of them
        int firstOpen = ClusterShares.Owner<TCluster>(last.Before, Budget);
        bool many = count > FusedLayout.MaxOpen;
        if (TCluster.Value > 1 && Group.IdxX == 0)
            BulkCopy.Expect(ref barriers[FusedLayout.ListBarrier], Math.Max(Math.Min(last.Before - Own.First, Own.Count), 0) * sizeof(int) + (!many && rank >= firstOpen ? count * sizeof(ulong) : 0));
        for (int part = 0; part < stretch; part += SetFilter.WarpTokens)
        {
            int origin = from + part + lane * 4;
            for (uint opened = masks[(part >> 9) * Group.DimX + Group.IdxX + Group.DimX]; opened != 0u; opened &= opened - 1u)
            {
                int token = SetFilter.Token(origin, SetFilter.Lowest(opened));
                ulong item = SetFilter.Entry(range, token, scores[token - Start]);
                if (!many)
                {
                    for (int group = firstOpen; group < TCluster.Value; group++) ThreadCluster.Send<TCluster>(ref open[place], group, item, ref barriers[FusedLayout.ListBarrier]);
                }
                place++;
            }
        }
        // zeros, which rank behind everything, up to whole steps
        if (!many && Group.IdxX < SetFilter.OpenPadding) open[count + Group.IdxX] = 0ul;
        if (many || keepsScores != 0)
        {
            for (int token = Math.Max(Start, range.First) + Group.IdxX; token < End; token += Group.DimX) select.Scores[Number * select.ScoreCapacity + token] = scores[token - Start];
        }
        Group.Barrier();

        // The group's kept tokens beside each other, where its scores were: a lane may have many of them and its neighbours none.
        var staged = scores.Cast<int>();
        int entry = (int)(earlier & 0xffffu);
        for (int part = 0; part < stretch; part += SetFilter.WarpTokens)
        {
            int origin = from + part + lane * 4;
            for (uint kept = masks[(part >> 9) * Group.DimX + Group.IdxX]; kept != 0u; kept &= kept - 1u)
            {
                staged[entry] = SetFilter.Token(origin, SetFilter.Lowest(kept));
                entry++;
            }
        }
        Group.Barrier();
        // Of long lists K and V of the first tokens are asked for before the lists are complete. (Of short ones that took 0.9 µs more, and of long ones 1.6 less.)
        int ahead = Own.Count < 4 * Ahead ? 0 : Ahead;
        for (int i = Group.IdxX; i < (int)(all & 0xffffu); i += Group.DimX)
        {
            int token = staged[i];
            entry = last.EarlierBefore + i;
            int owner = ClusterShares.Owner<TCluster>(entry, Budget), own = entry - ClusterShares.First<TCluster>(owner, Budget);
            ThreadCluster.Send<TCluster>(ref Own.List[own], owner, token, ref barriers[FusedLayout.ListBarrier]);
            if (own < ahead) KvRows.Ask<THead>(cache, TensorDecodeKernel.Locate(cache, attention, Grid.IdxZ, KvHead, token));
        }
        ThreadCluster.AwaitSent<TCluster>(ref barriers[FusedLayout.ListBarrier]);
        if (many)
        {
            ThreadCluster.Sync<TCluster>(ref counts[0]);
            // that many equal scores are rare: one group does it, from memory
            if (rank == 0) WholeSet.Select(select, range, Number, counts, Group.DimX);
            ThreadCluster.Sync<TCluster>(ref counts[0]);
            var indices = select.Indices.Cast<uint>();
            for (int i = Group.IdxX; i < Own.Count; i += Group.DimX) Own.List[i] = (int)Loads.Fresh(ref indices[Number * select.SetCapacity + Own.First + i]);
        }
        else if (Own.First + Own.Count > last.Before)
        {
            var target = Own;
            target.Before = last.Before;
            OpenRank.StoreCompared(target, Budget - last.Before, count, open);
        }
        Group.Barrier();
    }
}
