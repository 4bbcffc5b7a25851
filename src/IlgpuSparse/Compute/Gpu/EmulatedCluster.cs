using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using ILGPU;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// <see cref="ThreadCluster"/> on the CPU accelerator: the groups of a launch of one cluster, on a device that runs as many at once (<see cref="GpuDevice.OpenEmulatingClusters"/>). Shared memory of another group is found by its
/// distance from where the group's dynamic memory begins.
/// </summary>
internal static unsafe class EmulatedCluster
{
    private static readonly ConcurrentDictionary<int, Barrier> s_barriers = new();
    private static readonly nint[] s_memory = new nint[16];

    /// <summary>Waits for all threads of all groups.</summary>
    public static void Sync()
    {
        if (Group.IdxX == 0) s_memory[Grid.IdxX] = Own;
        s_barriers.GetOrAdd(Grid.DimX * Group.DimX, threads => new Barrier(threads)).SignalAndWait();
    }

    /// <summary>What lies in group <paramref name="rank"/> where <paramref name="own"/> lies in this one.</summary>
    public static ref T Of<T>(ref T own, int rank) where T : unmanaged => ref Unsafe.AsRef<T>((void*)(s_memory[rank] + ((nint)Unsafe.AsPointer(ref own) - Own)));

    private static nint Own => (nint)Unsafe.AsPointer(ref SharedMemory.GetDynamic<byte>()[0]);
}
