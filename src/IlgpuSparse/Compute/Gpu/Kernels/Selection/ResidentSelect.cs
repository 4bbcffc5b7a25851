using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>A group's part of a set in <see cref="ResidentScoreKernel"/>, once the bin of the last selected token is known: as <see cref="SetFilter"/>, from scores that the group has.</summary>
internal struct ResidentSelect
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

    /// <summary>End of the tokens whose scores are in shared memory.</summary>
    public int NearEnd;

    /// <summary>One over the spread of <see cref="ScoreBins"/>.</summary>
    public float Inverse;

    /// <summary>Writes the kept tokens of the slice to their places in the set, and the open ones for whoever is last. Needs <see cref="GroupScan.MaxWarps"/> words in <paramref name="totals"/>, and in <paramref name="masks"/> two for every 32 tokens of a slice.</summary>
    public readonly void Run(SelectView select, VisibleRange range, SetBin last, ArrayView<float> scores, ArrayView<uint> masks, ArrayView<uint> totals, int keepsScores)
    {
        int lane = Group.IdxX & 31, warps = Group.DimX >> 5, parts = (SetSlice.Stretch(Slice, warps) + SetFilter.WarpTokens - 1) / SetFilter.WarpTokens;
        // the warps take parts in turn, so that each has some of those whose scores are far
        int length = SetSlice.Stretch(Slice, warps * parts), stride = warps * length, from = Start + (Group.IdxX >> 5) * length;
        var bounds = FilterBounds.Of(last.Bin, Inverse);
        long all = Number * select.ScoreCapacity;
        uint found = 0;
        for (int part = 0; part < parts; part++)
        {
            int origin = from + part * stride;
            FilterBits bits;
            if (origin + length <= NearEnd) bits = SetFilter.Bits<SharedScores>(range, scores.Cast<F4>(), -(long)Start, origin, length, End, bounds);
            else bits = SetFilter.BitsAtOnce<FreshScores>(range, select.Scores.Cast<F4>(), all, origin, length, End, bounds);
            int at = 2 * part * Group.DimX + Group.IdxX;
            masks[at] = bits.Kept;
            masks[at + Group.DimX] = bits.Open;
            found += bits.Counts;
        }
        uint earlier = GroupScan.Inclusive(found, totals) - found;
        long output = Number * select.SetCapacity + last.EarlierBefore + (earlier & 0xffffu);
        int place = last.EarlierOpen + (int)(earlier >> 16);
        for (int part = 0; part < parts; part++)
        {
            int first = from + part * stride + lane * 4, at = 2 * part * Group.DimX + Group.IdxX;
            bool isNear = from + part * stride + length <= NearEnd;
            for (uint kept = masks[at]; kept != 0u; kept &= kept - 1u)
            {
                select.Indices[output] = SetFilter.Token(first, SetFilter.Lowest(kept));
                output++;
            }
            for (uint open = masks[at + Group.DimX]; open != 0u; open &= open - 1u)
            {
                int token = SetFilter.Token(first, SetFilter.Lowest(open));
                float score = 0f;
                if (isNear) score = scores[token - Start];
                else score = Loads.Fresh(ref select.Scores[all + token]);
                if (place < SetFilter.MaxOpen) select.Scratch.Open[Number * SetFilter.MaxOpen + place] = SetFilter.Entry(range, token, score);
                place++;
            }
        }
        if (last.Open > SetFilter.MaxOpen || keepsScores != 0)
        {
            for (int token = Math.Max(Start, range.First) + Group.IdxX; token < Math.Min(End, NearEnd); token += Group.DimX) select.Scores[all + token] = scores[token - Start];
        }
    }

    /// <summary>Ranks the open tokens of all groups, which have written them. <paramref name="memory"/> may lie where the scores did.</summary>
    public readonly void Close(SelectView select, VisibleRange range, SetBin last, SetFilterMemory memory)
    {
        SetFilter.CollectOpen(select.Scratch, Number, last.Open, memory);
        SetFilter.Rank(select, range, Number, Budget, last.Before, last.Open, Group.DimX, memory);
    }
}
