using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// A group's part of a set whose groups are all on the device at once: the scores of a slice of its tokens, the bin of the set's last selected token from the histograms that the groups tell each other, and what of the slice is kept; as
/// <see cref="SetFilter"/>, from scores that the group has.
/// </summary>
internal struct ResidentSelect
{
    /// <summary>Row and set.</summary>
    public long Number;

    /// <summary>Tokens to select.</summary>
    public int Budget;

    /// <summary>The row's visible tokens.</summary>
    public VisibleRange Range;

    /// <summary>The group's slice of them.</summary>
    public SetSlice Slice;

    /// <summary>Where the set's last selected token lies.</summary>
    public SetBin Last;

    /// <summary>One over the spread of <see cref="ScoreBins"/>.</summary>
    public float Inverse;

    /// <summary>Tokens of the slice that are kept whatever the open ones are, known after <see cref="Run"/>.</summary>
    public int Kept;

    /// <summary>
    /// Scores the group's slice, waits for the set's other groups and finds the bin of the last selected token. Labels of the rows' own tokens are written beside it, from <paramref name="keys"/>, and K and V by <paramref name="own"/>: by the
    /// first set of each kv head, or K and V by every set where the same kernel attends to them (<paramref name="attends"/>), as sets do not wait for each other.
    /// </summary>
    public static ResidentSelect Of<TProduct, TUnits, TTiles>(LabelView labels, ScoreView score, SelectView select, ArrayView<float> keys, OwnRowView own, bool attends, ResidentArgs args, ResidentMemory memory)
        where TProduct : struct, ILabelProduct
        where TUnits : struct, IKernelCount
        where TTiles : struct, IKernelCount
    {
        int row = Grid.IdxZ, set = Grid.IdxY, unit = LabelProduct.Tokens<TProduct, TUnits>();
        long number = (long)row * Grid.DimY + set;
        var range = VisibleRange.Of(select, row);
        // what follows is kept there, or found out again from what is there, and not in registers while the scores are made
        if (Group.IdxX == Group.DimX - 1)
        {
            memory.Words[ResidentMemory.Budget] = (uint)range.Budget(select, number);
            memory.Words[ResidentMemory.Position] = (uint)range.Last;
        }
        var slice = SetSlice.Of(range, unit, Grid.DimX);
        var queries = QuerySet.Of(labels, score, row, set);
        // beside those who prepare the queries, as in ScoreKernel
        if (slice.End == range.Last + 1 && slice.Start < slice.End)
        {
            bool isFirst = queries.FirstHead == queries.KvHead * score.GroupSize;
            if (keys.Length != 0 && isFirst && Group.IdxX >> 5 == (Group.DimX >> 5) - 1) TProduct.WriteOwn(labels, queries, keys, score.HeadDim);
            if (own.AreMissing && (isFirst || attends) && Group.IdxX >> 5 == (Group.DimX >> 5) - 2) own.Write(row, queries.KvHead, range.Last);
        }
        var scores = memory.Work.Cast<float>();
        FarScores far;
        far.Scores = score.Scores;
        far.Output = number * score.Capacity;
        far.NearEnd = slice.NearEnd(args.Near);
        ResidentSelect result = default;
        result.Inverse = SliceScores.Of<TProduct, KernelCounts.N1, TUnits, TTiles, KernelCounts.N32>(labels, score, queries, range, range.First, slice.Start, slice.End, scores, -(long)slice.Start, far, memory.Counts, memory.Fragments, memory.Columns).Inverse;
        Group.Barrier();
        ResidentBins.Tell(memory.Counts, select.Scratch.Histograms, number * Grid.DimX + Grid.IdxX);
        Arrival.AwaitAll(ref select.Scratch.Arrivals[number], Grid.DimX);

        result.Number = number;
        result.Budget = (int)memory.Words[ResidentMemory.Budget];
        result.Range = VisibleRange.At(select, (int)memory.Words[ResidentMemory.Position]);
        result.Slice = SetSlice.Of(result.Range, unit, Grid.DimX);
        result.Last = ResidentBins.Find(select.Scratch.Histograms, number * Grid.DimX, Grid.DimX, Grid.IdxX, (uint)result.Budget, memory.Counts);
        return result;
    }

    /// <summary>
    /// Writes the kept tokens of the slice to their places in the set, and the open ones for those who rank them. Where the scores were are the kept tokens then, if there are not more than <see cref="ResidentMemory.Work"/> has room for.
    /// </summary>
    public void Run(SelectView select, ResidentArgs args, ResidentMemory memory)
    {
        var scores = memory.Work.Cast<float>();
        int lane = Group.IdxX & 31, warps = Group.DimX >> 5, parts = (SetSlice.Stretch(Slice.Length, warps) + SetFilter.WarpTokens - 1) / SetFilter.WarpTokens;
        // the warps take parts in turn, so that each has some of those whose scores are far
        int length = SetSlice.Stretch(Slice.Length, warps * parts), stride = warps * length, from = Slice.Start + (Group.IdxX >> 5) * length, nearEnd = Slice.NearEnd(args.Near);
        var bounds = FilterBounds.Of(Last.Bin, Inverse);
        var masks = memory.Counts;
        long all = Number * select.ScoreCapacity;
        // where the sums of the histograms were come bits
        Group.Barrier();
        uint found = 0;
        for (int part = 0; part < parts; part++)
        {
            int origin = from + part * stride;
            FilterBits bits;
            if (origin + length <= nearEnd) bits = SetFilter.Bits<SharedScores>(Range, scores.Cast<F4>(), -(long)Slice.Start, origin, length, Slice.End, bounds);
            else bits = SetFilter.BitsAtOnce<FreshScores>(Range, select.Scores.Cast<F4>(), all, origin, length, Slice.End, bounds);
            int at = 2 * part * Group.DimX + Group.IdxX;
            masks[at] = bits.Kept;
            masks[at + Group.DimX] = bits.Open;
            found += bits.Counts;
        }
        uint earlier = GroupScan.Inclusive(found, memory.Totals, out uint sum) - found;
        int place = Last.EarlierOpen + (int)(earlier >> 16);
        for (int part = 0; part < parts; part++)
        {
            int first = from + part * stride + lane * 4;
            bool isNear = from + part * stride + length <= nearEnd;
            for (uint open = masks[2 * part * Group.DimX + Group.IdxX + Group.DimX]; open != 0u; open &= open - 1u)
            {
                int token = SetFilter.Token(first, SetFilter.Lowest(open));
                float score = 0f;
                if (isNear) score = scores[token - Slice.Start];
                else score = Loads.Fresh(ref select.Scores[all + token]);
                if (place < SetFilter.MaxOpen) select.Scratch.Open[Number * SetFilter.MaxOpen + place] = SetFilter.Entry(Range, token, score);
                place++;
            }
        }
        if (Last.Open > SetFilter.MaxOpen || args.KeepsScores != 0)
        {
            for (int token = Math.Max(Slice.Start, Range.First) + Group.IdxX; token < Math.Min(Slice.End, nearEnd); token += Group.DimX) select.Scores[all + token] = scores[token - Slice.Start];
        }

        // The kept tokens beside each other, where the scores were: a lane may have many of them and its neighbours none. As many at a time as there is room for.
        var staged = memory.Work.Cast<int>();
        int room = (int)staged.Length;
        long output = Number * select.SetCapacity + Last.EarlierBefore;
        Kept = (int)(sum & 0xffffu);
        for (int start = 0; start < Kept; start += room)
        {
            Group.Barrier();
            int entry = (int)(earlier & 0xffffu) - start;
            for (int part = 0; part < parts; part++)
            {
                int first = from + part * stride + lane * 4;
                for (uint kept = masks[2 * part * Group.DimX + Group.IdxX]; kept != 0u; kept &= kept - 1u)
                {
                    if ((entry | (room - 1 - entry)) >= 0) staged[entry] = SetFilter.Token(first, SetFilter.Lowest(kept));
                    entry++;
                }
            }
            Group.Barrier();
            for (int i = Group.IdxX; i < Math.Min(room, Kept - start); i += Group.DimX) select.Indices[output + start + i] = staged[i];
        }
    }

    /// <summary>Ranks the open tokens of all groups, which have written them. What was in shared memory is gone.</summary>
    public readonly void Close(SelectView select, ResidentMemory memory)
    {
        SetFilterMemory ranks;
        ranks.Open = memory.Work.SubView(0, (SetFilter.MaxOpen + SetFilter.OpenPadding) / 2).Cast<ulong>();
        ranks.Parted = memory.Work.SubView((SetFilter.MaxOpen + SetFilter.OpenPadding) / 2, SetFilter.MaxOpen / 2).Cast<ulong>();
        ranks.Parts = memory.Counts;
        ranks.Totals = memory.Totals;
        ranks.Word = memory.Words;
        ranks.MaxOpen = SetFilter.MaxOpen;
        SetFilter.CollectOpen(select.Scratch, Number, Last.Open, ranks);
        SetFilter.Rank(select, Range, Number, Budget, Last.Before, Last.Open, Group.DimX, ranks);
    }
}
