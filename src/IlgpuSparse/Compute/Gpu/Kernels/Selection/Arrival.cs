using ILGPU;
using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>"Last group done": the group of a set that finishes last goes on with what the others have written.</summary>
internal static class Arrival
{
    /// <summary>
    /// Makes this group's writes visible and counts it in. True for every thread of the last of <paramref name="expected"/> groups, which sees the writes of all and sets
    /// <paramref name="counter"/> back to zero. <paramref name="flag"/> is one word of shared memory.
    /// </summary>
    public static bool IsLast(ref int counter, int expected, ref uint flag)
    {
        Group.Barrier();
        if (Group.IdxX == 0)
        {
            int earlier = CountIn(ref counter);
            if (earlier == expected - 1) counter = 0;
            flag = earlier == expected - 1 ? 1u : 0u;
        }
        Group.Barrier();
        return flag != 0;
    }

    /// <summary>
    /// Makes this group's writes visible, counts it in and waits until all of <paramref name="expected"/> groups, which must run at the same time, are; each thread sees what those have written before. <paramref name="counter"/> goes on
    /// counting: whoever waits again, or asks <see cref="IsLast"/>, expects as many more each time.
    /// </summary>
    public static void AwaitAll(ref int counter, int expected)
    {
        Group.Barrier();
        if (Group.IdxX == 0)
        {
            int arrived = CountIn(ref counter) + 1;
            while (arrived < expected) arrived = Read(ref counter);
        }
        Group.Barrier();
    }

    // How many were before this group, which sees what those have written. What a barrier has shown to this thread it shows to the device: the others need no fence of their own. One operation, and one that orders no more than it
    // has to: two fences beside it (membar.gl, which orders all) take longer than itself.
    [IntrinsicImplementation, PtxOp("atom.acq_rel.gpu.global.add.s32 $r, [$g0], 1;")]
    private static int CountIn(ref int counter) => Interlocked.Increment(ref counter) - 1;

    // Those that are counted in, and what they have written.
    [IntrinsicImplementation, PtxOp("ld.acquire.gpu.global.s32 $r, [$g0];")]
    private static int Read(ref int counter)
    {
        // the others are threads of the operating system, and there may be fewer processors
        Thread.Yield();
        return Volatile.Read(ref counter);
    }
}
