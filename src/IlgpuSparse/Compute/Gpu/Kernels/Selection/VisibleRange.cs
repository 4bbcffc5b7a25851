namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The tokens that a row's query sees, and which of them are always in.</summary>
internal struct VisibleRange
{
    /// <summary>First visible token.</summary>
    public int First;

    /// <summary>The query's own position.</summary>
    public int Last;

    /// <summary>Tokens before it are always in.</summary>
    public int SinkEnd;

    /// <summary>Tokens from here on are always in.</summary>
    public int RecentStart;

    /// <summary>The range of <paramref name="row"/>.</summary>
    public static VisibleRange Of(SelectView select, int row) => At(select, select.Positions[row]);

    /// <summary>The range of a row at <paramref name="position"/>.</summary>
    public static VisibleRange At(SelectView select, int position)
    {
        VisibleRange range;
        range.Last = position;
        range.First = select.Window > 0 && range.Last >= select.Window ? range.Last - select.Window + 1 : 0;
        range.SinkEnd = range.First + select.Sinks;
        range.RecentStart = range.Last + 1 - Math.Max(1, select.Recent);
        return range;
    }

    /// <summary>Tokens to select of set number <paramref name="set"/>: the device's form of <see cref="SelectionRule.Scale"/> and <see cref="SelectionRule.Budget"/>.</summary>
    public readonly int Budget(SelectView select, long set)
    {
        int visible = Last - First + 1, numerator = select.Numerator, least = select.MinTokens;
        if (select.Factors.Length != 0)
        {
            // the denominator is scaled already
            int factor = select.Factors[set];
            if (numerator == 0) least = (int)Math.Max((long)least * factor / SelectionRule.FactorUnits, 1);
            numerator *= factor;
            least = Math.Max(least, select.Floor);
        }
        long wanted = Math.Max(least, select.Sinks + Math.Max(1, select.Recent));
        if (numerator != 0)
        {
            ulong rounded = (ulong)visible * (uint)numerator + (uint)select.Denominator - 1u;
            // 64-bit division takes several times as long
            long fraction = rounded <= uint.MaxValue ? (uint)rounded / (uint)select.Denominator : (long)(rounded / (uint)select.Denominator);
            if (fraction > wanted) wanted = fraction;
        }
        if (wanted > visible) wanted = visible;
        return Math.Min((int)wanted, select.SetCapacity);
    }

    /// <summary>Fewest tokens of a set by mass: the device's form of <see cref="SelectionRule.Least"/>.</summary>
    public readonly int Least(SelectView select)
    {
        int wanted = Math.Max(select.Floor, select.Sinks + Math.Max(1, select.Recent));
        return Math.Min(Math.Min(wanted, Last - First + 1), select.SetCapacity);
    }

    /// <summary>Where chunks of tokens are counted from: the range's start, rounded down so that 16-byte loads are aligned.</summary>
    public readonly int Origin => First & ~(LabelLayer.TileTokens - 1);

    /// <summary>The key of <paramref name="token"/>.</summary>
    public readonly uint Key(int token, float score) => InsideKey(token, score) & ~(uint)(((token - First) | (Last - token)) >> 31);

    /// <summary>The key of a visible token. Signs stand for comparisons here and in <see cref="Key"/>: this is done for every token of the context, and conditions become branches.</summary>
    public readonly uint InsideKey(int token, float score) => SortableKey.Of(score) | (uint)ForcedMask(token);

    /// <summary>All ones for a token that is always in, else zero.</summary>
    public readonly int ForcedMask(int token) => ((token - SinkEnd) | (RecentStart - 1 - token)) >> 31;
}
