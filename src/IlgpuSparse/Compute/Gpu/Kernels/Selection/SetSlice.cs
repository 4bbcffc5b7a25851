using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Fused;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The tokens of a set that one of its groups scores, where each has as many: whole units of a warp, of which the last group may have fewer or none.</summary>
internal struct SetSlice
{
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
        slice.Length = FusedLayout.Slice(range.Last + 1 - origin, groups, unit);
        slice.Start = origin + Grid.IdxX * slice.Length;
        slice.End = Math.Min(slice.Start + slice.Length, range.Last + 1);
        return slice;
    }
}
