using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The tokens that a row's query sees, which of them are always in, and how many are selected: the device's form of <see cref="SelectionRule.Budget"/>.</summary>
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

    /// <summary>Tokens to select.</summary>
    public int Budget;

    /// <summary>The range of <paramref name="row"/>.</summary>
    public static VisibleRange Of(SelectView select, int row)
    {
        VisibleRange range;
        range.Last = select.Positions[row];
        range.First = select.Window > 0 && range.Last >= select.Window ? range.Last - select.Window + 1 : 0;
        int visible = range.Last - range.First + 1;
        int recent = Math.Max(1, select.Recent);
        range.SinkEnd = range.First + select.Sinks;
        range.RecentStart = range.Last + 1 - recent;
        long wanted = Math.Max(select.MinTokens, select.Sinks + recent);
        if (select.Numerator != 0)
        {
            long fraction = ((long)visible * select.Numerator + select.Denominator - 1) / select.Denominator;
            if (fraction > wanted) wanted = fraction;
        }
        if (wanted > visible) wanted = visible;
        range.Budget = Math.Min((int)wanted, select.SetCapacity);
        return range;
    }

    /// <summary>Where chunks of tokens are counted from: the range's start, rounded down so that 16-byte loads are aligned.</summary>
    public readonly int Origin => First & ~(LabelLayer.TileTokens - 1);

    /// <summary>The key of <paramref name="token"/>.</summary>
    public readonly uint Key(int token, float score)
    {
        uint key = SortableKey.Of(score);
        if (token < SinkEnd || token >= RecentStart) key = SortableKey.Forced;
        return token >= First && token <= Last ? key : 0u;
    }
}
