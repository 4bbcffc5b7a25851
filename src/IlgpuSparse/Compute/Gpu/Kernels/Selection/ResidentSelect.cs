using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// A group's part of a set whose groups are all on the device at once: the scores of a slice of its tokens, the bin of the set's last selected token from the histograms that the groups tell each other, and what of the slice is kept; as
/// <see cref="SetFilter"/>, from codes of scores (<see cref="ScoreBins.Code"/>) that the group has.
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

    /// <summary>Tokens of the slice that are kept whatever the open ones are, known after <see cref="Run"/>.</summary>
    public int Kept;

    /// <summary>
    /// Scores the group's slice, waits for the set's other groups and finds the bin of the last selected token. Labels of the rows' own tokens are written beside it, from <paramref name="keys"/>, and K and V by <paramref name="own"/>: by the
    /// first set of each kv head, or K and V by every set where the same kernel attends to them (<paramref name="attends"/>), as sets do not wait for each other.
    /// </summary>
    public static ResidentSelect Of<TProduct, TUnits, TTiles>(LabelView labels, ScoreView score, SelectView select, ArrayView<float> keys, OwnRowView own, bool attends, ResidentMemory memory)
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
        ResidentSelect result = default;
        SliceScores.Of<TProduct, KernelCounts.N1, TUnits, TTiles, KernelCounts.N32>(labels, score, queries, range, range.First, slice.Start, slice.End, scores, -(long)slice.Start, memory.Counts, memory.Fragments, memory.Columns);
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
    /// Writes the kept tokens of the slice to their places in the set, and the open ones for those who rank them. Where the codes were are the kept tokens then, if there are not more than <see cref="ResidentMemory.Work"/> has room for.
    /// </summary>
    public void Run<TProduct, TTiles>(LabelView labels, ScoreView score, SelectView select, ResidentArgs args, ResidentMemory memory)
        where TProduct : struct, ILabelProduct
        where TTiles : struct, IKernelCount
    {
        var fours = memory.Work.Cast<U2>();
        int lane = Group.IdxX & 31, warps = Group.DimX >> 5, parts = (SetSlice.Stretch(Slice.Length, warps) + SetFilter.WarpTokens - 1) / SetFilter.WarpTokens;
        int length = SetSlice.Stretch(Slice.Length, warps * parts), stride = warps * length, from = Slice.Start + (Group.IdxX >> 5) * length;
        // high bits of codes before the bin of the last selected token, and before the next one
        const int shiftOfBin = ScoreBins.CodeShift - ResidentCodes.LowBits;
        uint before = (uint)Last.Bin << shiftOfBin, upTo = before + (1u << shiftOfBin);
        var masks = memory.Counts;
        // where the sums of the histograms were come bits
        Group.Barrier();
        uint found = 0;
        for (int part = 0; part < parts; part++)
        {
            int origin = from + part * stride, token = origin + lane * 4;
            uint kept = 0, open = 0;
            for (int start = 0; start < length; start += 2 * SetFilter.WarpStep)
            {
                U2 first = default, second = default;
                if (token + start < Slice.End) first = fours[(token + start - Slice.Start) >> 2];
                if (token + start + SetFilter.WarpStep < Slice.End) second = fours[(token + start + SetFilter.WarpStep - Slice.Start) >> 2];
                int shift = start >> 5;
                kept |= (Below(first, before) | Below(second, before) << 4) << shift;
                open |= (Below(first, upTo) | Below(second, upTo) << 4) << shift;
            }
            var bits = SetFilter.Bits(Range, token, origin, length, Slice.End, Last.Bin, kept, open);
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
            for (uint open = masks[2 * part * Group.DimX + Group.IdxX + Group.DimX]; open != 0u; open &= open - 1u)
            {
                int token = SetFilter.Token(first, SetFilter.Lowest(open));
                uint above = (1u << ScoreBins.CodeBits) - 1u - ResidentCodes.At(memory.Work, token - Slice.Start);
                // the highest score first, and before all what is always in
                if (place < SetFilter.MaxOpen) select.Scratch.Open[Number * SetFilter.MaxOpen + place] = ((ulong)(above | (uint)Range.ForcedMask(token)) << 32) | ~(uint)token;
                place++;
            }
        }
        if (Last.Open > SetFilter.MaxOpen || args.KeepsScores != 0) WriteScores<TProduct, TTiles>(labels, score, memory);

        // The kept tokens beside each other, where the codes were: a lane may have many of them and its neighbours none. As many at a time as there is room for.
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

    // A bit for each of four codes below a bound.
    private static uint Below(U2 four, uint bound) =>
        ((four.X & 0xffffu) < bound ? 1u : 0u) | (four.X >> 16 < bound ? 2u : 0u) | ((four.Y & 0xffffu) < bound ? 4u : 0u) | (four.Y >> 16 < bound ? 8u : 0u);

    // The scores of the slice to memory: made once more, as they are rarely asked for.
    private readonly void WriteScores<TProduct, TTiles>(LabelView labels, ScoreView score, ResidentMemory memory)
        where TProduct : struct, ILabelProduct
        where TTiles : struct, IKernelCount
    {
        int unit = LabelProduct.Tokens<TProduct, KernelCounts.N1>(), kvHead = Grid.IdxY * score.HeadsPerSet / score.GroupSize;
        var best = new float[KernelCounts.N1.Slots * 4];
        for (int token = Slice.Start + (Group.IdxX >> 5) * unit; token < Slice.End; token += (Group.DimX >> 5) * unit)
        {
            SliceScores.Again<TProduct, TTiles>(labels, Grid.IdxZ, kvHead, token, memory.Fragments, memory.Columns, best);
            for (int u = 0; u < 2; u++)
            {
                if (u < TProduct.Beside)
                {
                    int own = token + LabelProduct.Place<TProduct>(u);
                    if (((own - Range.First) | (Slice.End - 1 - own)) >= 0) score.Scores[Number * score.Capacity + own] = best[u];
                }
            }
        }
    }

    /// <summary>
    /// Ranks the open tokens of all groups, which have written them: by their codes, and those that have the last selected one's code by their scores, which are made once more. What was in shared memory is gone.
    /// </summary>
    public readonly void Close<TProduct, TTiles>(LabelView labels, ScoreView score, SelectView select, ResidentMemory memory)
        where TProduct : struct, ILabelProduct
        where TTiles : struct, IKernelCount
    {
        const int room = (SetFilter.MaxOpen + SetFilter.OpenPadding) / 2;
        SetFilterMemory ranks;
        ranks.Open = memory.Work.SubView(0, room).Cast<ulong>();
        ranks.Parted = memory.Work.SubView(room, SetFilter.MaxOpen / 2).Cast<ulong>();
        ranks.Parts = memory.Counts;
        ranks.Totals = memory.Totals;
        ranks.Word = memory.Words;
        ranks.MaxOpen = SetFilter.MaxOpen;
        if (Group.IdxX == 0) select.Counts[Number] = Budget;
        if (Last.Open > SetFilter.MaxOpen) WholeSet.Select(select, Range, Number, ranks.Open.Cast<uint>(), Group.DimX);
        else
        {
            int wanted = Budget - Last.Before, count = Last.Open;
            long output = Number * select.SetCapacity + Last.Before;
            var sorted = memory.Work.SubView(room + SetFilter.MaxOpen / 2, SetFilter.MaxOpen / 2).Cast<ulong>();
            SetFilter.CollectOpen(select.Scratch, Number, count, ranks);
            // zeros, which rank behind everything, up to whole steps
            if (Group.IdxX < SetFilter.OpenPadding) ranks.Open[count + Group.IdxX] = 0ul;
            Group.Barrier();
            OpenRank.Store(new SortedTarget(sorted), count, count, ranks);
            Group.Barrier();
            uint last = (uint)(sorted[wanted - 1] >> 32);
            for (int i = Group.IdxX; i < count; i += Group.DimX)
            {
                if ((uint)(sorted[i] >> 32) == last)
                {
                    if ((uint)(sorted[Math.Max(i - 1, 0)] >> 32) != last || i == 0) memory.Words[ResidentMemory.First] = (uint)i;
                    if ((uint)(sorted[Math.Min(i + 1, count - 1)] >> 32) != last || i == count - 1) memory.Words[ResidentMemory.End] = (uint)i + 1u;
                }
            }
            Group.Barrier();
            int first = (int)memory.Words[ResidentMemory.First], end = (int)memory.Words[ResidentMemory.End];
            for (int i = Group.IdxX; i < (end == wanted ? wanted : first); i += Group.DimX) select.Indices[output + i] = (int)~(uint)sorted[i];
            if (end != wanted)
            {
                int unit = LabelProduct.Tokens<TProduct, KernelCounts.N1>(), kvHead = Grid.IdxY * score.HeadsPerSet / score.GroupSize;
                var best = new float[KernelCounts.N1.Slots * 4];
                for (int i = first + (Group.IdxX >> 5); i < end; i += Group.DimX >> 5)
                {
                    int token = (int)~(uint)sorted[i], start = token & ~(unit - 1);
                    SliceScores.Again<TProduct, TTiles>(labels, Grid.IdxZ, kvHead, start, memory.Fragments, memory.Columns, best);
                    for (int u = 0; u < 2; u++)
                    {
                        if (u < TProduct.Beside)
                        {
                            if (start + LabelProduct.Place<TProduct>(u) == token) ranks.Open[i - first] = SetFilter.Entry(Range, token, best[u]);
                        }
                    }
                }
                if (Group.IdxX < SetFilter.OpenPadding) ranks.Open[end - first + Group.IdxX] = 0ul;
                Group.Barrier();
                OpenRank.StoreCompared(new SetTarget(select.Indices, output + first), wanted - first, end - first, ranks.Open);
            }
        }
    }
}
