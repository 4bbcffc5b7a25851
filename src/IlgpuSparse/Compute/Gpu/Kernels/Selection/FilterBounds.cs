using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The bin of a set's last selected token, as <see cref="SetFilter"/> compares scores with it.</summary>
internal struct FilterBounds
{
    // keys that are tried for each bound, half of a warp's lanes
    private const int Tried = 16;

    /// <summary>Number of the bin.</summary>
    public int Bin;

    /// <summary>The greatest score that is in no bin before it; not a number for the first.</summary>
    public float High;

    /// <summary>The greatest score that is neither in it nor before it; of no use for the last, where what is not a number is too.</summary>
    public float Low;

    /// <summary>The bounds of <paramref name="bin"/>, where <paramref name="inverse"/> is one over the spread. The whole warp calls, and each lane learns them.</summary>
    public static FilterBounds Of(int bin, float inverse)
    {
        const float most = 1e38f; // farther up there are keys of what is not a number
        float spread = 1f / inverse;
        int lane = Group.IdxX & 31, half = lane >> 4;
        uint high = SortableKey.Of(Math.Max(-most, Math.Min(ScoreBins.NearLeast(bin, spread), most))) - Tried / 2;
        uint low = SortableKey.Of(Math.Max(-most, Math.Min(ScoreBins.NearLeast(bin + 1, spread), most))) - Tried / 2;
        float score = SortableKey.Score((half == 0 ? high : low) + (uint)(lane & (Tried - 1)));
        uint before = GroupScan.WarpSum(ScoreBins.Of(score, inverse) < bin + half ? 1u << (8 * half) : 0u);
        FilterBounds bounds;
        bounds.Bin = bin;
        bounds.High = Greatest(bin, inverse, high, before & 0xffu);
        bounds.Low = Greatest(bin + 1, inverse, low, before >> 8);
        return bounds;
    }

    // The greatest score that is in no bin before `bin`, if it is among the tried keys from `first` on: the last `before` of them are in one.
    private static float Greatest(int bin, float inverse, uint first, uint before)
    {
        if (before - 1u < Tried - 1u) return SortableKey.Score(first + Tried - 1u - before);
        uint not = 0u;
        // one, in a form that the compiler does not see through: it would unroll the loop
        int one = Math.Min(1, Group.DimX);
        for (int n = 31 * one; n >= 0; n--)
        {
            uint with = not | (1u << n);
            not = ScoreBins.Of(SortableKey.Score(with), inverse) < bin ? not : with;
        }
        return SortableKey.Score(not);
    }
}
