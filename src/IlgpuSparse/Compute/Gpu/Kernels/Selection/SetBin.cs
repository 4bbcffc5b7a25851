namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Where the last selected token of a set lies among the histograms (<see cref="ScoreBins"/>) of the set's groups, as one of them needs to know it.</summary>
internal struct SetBin
{
    /// <summary>The bin of the last selected token.</summary>
    public int Bin;

    /// <summary>Tokens of the set in bins before it.</summary>
    public int Before;

    /// <summary>Tokens of the set in it.</summary>
    public int Open;

    /// <summary>Those of <see cref="Before"/> that lie in groups before this one.</summary>
    public int EarlierBefore;

    /// <summary>Those of <see cref="Open"/> that lie in groups before this one.</summary>
    public int EarlierOpen;

    /// <summary>
    /// Which of 64 counts has the token of rank <paramref name="wanted"/>, where <paramref name="before"/> come earlier: a lane has those of bins <paramref name="low"/> and the next, <paramref name="first"/> and <paramref name="second"/>. All of a warp call and
    /// know it then, but for what lies in earlier groups.
    /// </summary>
    public static SetBin Of(int low, uint first, uint second, uint before, uint wanted)
    {
        uint upTo = before + GroupScan.WarpInclusive(first + second), start = upTo - first - second;
        // one lane alone has the rank
        bool isMine = start < wanted && wanted <= upTo, isHigh = wanted > start + first;
        SetBin result = default;
        result.Bin = (int)GroupScan.WarpSum(isMine ? (uint)low + (isHigh ? 1u : 0u) : 0u);
        result.Before = (int)GroupScan.WarpSum(isMine ? isHigh ? start + first : start : 0u);
        result.Open = (int)GroupScan.WarpSum(isMine ? isHigh ? second : first : 0u);
        return result;
    }
}
