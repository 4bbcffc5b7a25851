using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Fused;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// <see cref="ThreadCluster"/> on the CPU accelerator: the groups of a launch of one cluster, on a device that runs as many at once (<see cref="GpuDevice.OpenEmulatingClusters"/>). Shared memory of another group is found by its
/// distance from a place that both have told.
/// </summary>
internal static unsafe class EmulatedCluster
{
    private static readonly ConcurrentDictionary<int, Barrier> s_barriers = new();
    private static readonly nint[] s_anchors = new nint[FusedStepKernel.MaxGroups];

    /// <summary>Tells the others where the group's memory lies, before a <see cref="Sync"/>.</summary>
    public static void Enter(ref uint anchor)
    {
        if (Group.IdxX == 0) s_anchors[Grid.IdxX] = (nint)Unsafe.AsPointer(ref anchor);
    }

    /// <summary>Waits for all threads of all groups.</summary>
    public static void Sync() => s_barriers.GetOrAdd(Grid.DimX * Group.DimX, threads => new Barrier(threads)).SignalAndWait();

    /// <summary>What lies in group <paramref name="rank"/> where <paramref name="own"/> lies in this one.</summary>
    public static ref T Of<T>(ref T own, int rank) where T : unmanaged => ref Unsafe.AsRef<T>((void*)(s_anchors[rank] + ((nint)Unsafe.AsPointer(ref own) - s_anchors[Grid.IdxX])));
}
