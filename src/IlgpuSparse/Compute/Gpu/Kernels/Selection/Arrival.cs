using ILGPU;

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
            // what the barrier has shown to this thread, its fence shows to the device: the others need none of their own
            MemoryFence.DeviceLevel();
            int earlier = Atomic.Add(ref counter, 1);
            MemoryFence.DeviceLevel();
            if (earlier == expected - 1) counter = 0;
            flag = earlier == expected - 1 ? 1u : 0u;
        }
        Group.Barrier();
        return flag != 0;
    }
}
