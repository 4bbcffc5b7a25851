using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The tokens of a set that one of its groups scores, where each has as many: whole units of a warp, of which the last group may have fewer or none.</summary>
internal struct SetSlice
{
    /// <summary>Most tokens of a group: counts of them are kept in 16 bits.</summary>
    public const int MaxTokens = 1 << 15;

    /// <summary>First token.</summary>
    public int Start;

    /// <summary>End of its tokens.</summary>
    public int End;

    /// <summary>Tokens that every group has room for.</summary>
    public int Length;

    /// <summary>The slice of this one of <paramref name="groups"/> groups, in units of <paramref name="unit"/> tokens.</summary>
    public static SetSlice Of(VisibleRange range, int unit, int groups)
    {
        SetSlice slice;
        int origin = range.First & ~(unit - 1);
        slice.Length = Tokens(range.Last + 1 - origin, groups, unit);
        slice.Start = origin + Grid.IdxX * slice.Length;
        slice.End = Math.Min(slice.Start + slice.Length, range.Last + 1);
        return slice;
    }

    /// <summary>Tokens that each of so many groups scores of <paramref name="span"/>: whole units of a warp.</summary>
    public static int Tokens(int span, int groups, int unit)
    {
        int each = (span + groups - 1) / groups;
        return (each + unit - 1) & ~(unit - 1);
    }

    /// <summary>Tokens of a slice that each of <paramref name="warps"/> warps filters.</summary>
    public static int Stretch(int slice, int warps) => ((slice + warps - 1) / warps + SetFilter.WarpStep - 1) & ~(SetFilter.WarpStep - 1);
}
