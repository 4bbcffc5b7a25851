using ILGPU;
using ILGPU.IR.Intrinsics;

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
    /// Sum over this thread and all before it in the group. <paramref name="totals"/> is shared memory of <see cref="MaxWarps"/> words; passes one barrier, and another is due before they are used again.
    /// </summary>
    public static uint Inclusive(uint value, ArrayView<uint> totals) => Inclusive(value, totals, out _);

    /// <summary>As <see cref="Inclusive(uint, ArrayView{uint})"/>, with the sum over the whole group.</summary>
    public static uint Inclusive(uint value, ArrayView<uint> totals, out uint all)
    {
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5;
        uint inWarp = WarpInclusive(value);
        if (lane == 31) totals[warp] = inWarp;
        Group.Barrier();
        uint inclusive = WarpInclusive(lane < (Group.DimX >> 5) ? totals[lane] : 0u);
        uint before = Warp.Shuffle(inclusive, Math.Max(warp - 1, 0));
        all = Warp.Shuffle(inclusive, 31);
        return inWarp + (warp > 0 ? before : 0u);
    }

    /// <summary>Sum over the warp, for each lane.</summary>
    [IntrinsicImplementation, PtxOp("redux.sync.add.u32 $r, $0, 0xffffffff;")]
    public static uint WarpSum(uint value)
    {
        for (int d = 0; d < 5; d++) value += Warp.ShuffleXor(value, 1 << d);
        return value;
    }

    /// <summary>Largest of the warp, for each lane.</summary>
    [IntrinsicImplementation, PtxOp("redux.sync.max.u32 $r, $0, 0xffffffff;")]
    public static uint WarpMax(uint value)
    {
        for (int d = 0; d < 5; d++) value = Math.Max(value, Warp.ShuffleXor(value, 1 << d));
        return value;
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
