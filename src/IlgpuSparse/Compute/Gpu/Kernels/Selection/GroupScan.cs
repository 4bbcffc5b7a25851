using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Sums over earlier threads by warp shuffles, for groups of whole warps.</summary>
internal static class GroupScan
{
    /// <summary>Warps of the largest group.</summary>
    public const int MaxWarps = 32;

    /// <summary>Sum over this lane and those before it in the warp.</summary>
    public static uint WarpInclusive(uint value)
    {
        int lane = Group.IdxX & 31;
        for (int d = 0; d < 5; d++)
        {
            uint other = Warp.ShuffleUp(value, 1 << d);
            if (lane >= 1 << d) value += other;
        }
        return value;
    }

    /// <summary>
    /// Sum over the warps before this one of the values that their last lanes bring. <paramref name="totals"/> is shared memory of <see cref="MaxWarps"/> words; passes one barrier,
    /// and another is due before they are used again.
    /// </summary>
    public static uint EarlierWarps(uint value, ArrayView<uint> totals)
    {
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5;
        if (lane == 31) totals[warp] = value;
        Group.Barrier();
        uint inclusive = WarpInclusive(lane < (Group.DimX >> 5) ? totals[lane] : 0u);
        uint before = Warp.Shuffle(inclusive, Math.Max(warp - 1, 0));
        return warp > 0 ? before : 0u;
    }

    /// <summary>Sum over this thread and all before it in the group; barriers as in <see cref="EarlierWarps"/>.</summary>
    public static uint Inclusive(uint value, ArrayView<uint> totals)
    {
        uint inWarp = WarpInclusive(value);
        return inWarp + EarlierWarps(inWarp, totals);
    }

    /// <summary>
    /// As <see cref="Inclusive(uint, ArrayView{uint})"/>, with the sum over the whole group. <paramref name="totals"/> has one word more; passes two barriers, and must not be used again before
    /// another.
    /// </summary>
    public static uint Inclusive(uint value, ArrayView<uint> totals, out uint all)
    {
        uint upTo = Inclusive(value, totals);
        if (Group.IdxX == Group.DimX - 1) totals[MaxWarps] = upTo;
        Group.Barrier();
        all = totals[MaxWarps];
        return upTo;
    }

    /// <summary>As <see cref="WarpInclusive(uint)"/>, four 16-bit sums at once.</summary>
    public static ulong WarpInclusive(ulong value)
    {
        int lane = Group.IdxX & 31;
        for (int d = 0; d < 5; d++)
        {
            ulong other = Warp.ShuffleUp(value, 1 << d);
            if (lane >= 1 << d) value += other;
        }
        return value;
    }
}
