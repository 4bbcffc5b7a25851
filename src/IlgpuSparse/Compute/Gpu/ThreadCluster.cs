using ILGPU;
using ILGPU.IR.Intrinsics;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// Groups of threads that run at the same time and reach each other's shared memory (thread-block clusters, compute capability 9.0). A kernel whose <see cref="KernelVariant.ClusterSize"/> is more than 1 has clusters of that
/// many groups along the first axis of its grid, which is as long: <c>Grid.IdxX</c> is a group's rank.
/// </summary>
/// <remarks>
/// Memory of another group is named by the same place in the own one. Reached can be dynamic shared memory; a <see cref="Wait"/> has to lie between a write and a read from elsewhere, and one between the last such access
/// and the end of the kernel. On the CPU accelerator the bodies do the same for the groups that a device runs at once, see <see cref="EmulatedCluster"/>.
/// </remarks>
internal static class ThreadCluster
{
    /// <summary>Largest cluster that every device runs; more have to be allowed for each kernel (<see cref="CudaDriver.AllowLargeClusters"/>).</summary>
    public const int PortableSize = 8;

    /// <summary>Whether devices of this compute capability have clusters.</summary>
    public static bool IsKnownTo(int major) => major >= 9;

    /// <summary>The text of a kernel with clusters of <paramref name="size"/> groups.</summary>
    public static string Declare(string ptx, int size)
    {
        int entry = ptx.IndexOf(".entry", StringComparison.Ordinal), body = ptx.IndexOf("\n{", entry, StringComparison.Ordinal);
        return ptx.Insert(body, $"\n.explicitcluster\n.reqnctapercluster {size}, 1, 1");
    }

    /// <summary>Waits for all threads of the cluster, and sees what they wrote before; for a single group its barrier. <paramref name="anchor"/> is a place in dynamic shared memory, always the same.</summary>
    public static void Sync<TCluster>(ref uint anchor) where TCluster : struct, IKernelCount
    {
        if (TCluster.Value == 1) Group.Barrier();
        else
        {
            Arrive(ref anchor);
            Wait();
        }
    }

    /// <summary>The number at the place of <paramref name="own"/> in group <paramref name="rank"/>.</summary>
    public static uint Load<TCluster>(ref uint own, int rank) where TCluster : struct, IKernelCount => TCluster.Value == 1 ? own : Load(ref own, rank);

    /// <inheritdoc cref="Load{TCluster}(ref uint, int)"/>
    public static U2 Load<TCluster>(ref U2 own, int rank) where TCluster : struct, IKernelCount => TCluster.Value == 1 ? own : Load(ref own, rank);

    /// <summary>Writes to the place of <paramref name="own"/> in group <paramref name="rank"/>.</summary>
    public static void Store<TCluster>(ref int own, int rank, int value) where TCluster : struct, IKernelCount
    {
        if (TCluster.Value == 1) own = value;
        else Store(ref own, rank, value);
    }

    /// <inheritdoc cref="Store{TCluster}(ref int, int, int)"/>
    public static void Store<TCluster>(ref ulong own, int rank, ulong value) where TCluster : struct, IKernelCount
    {
        if (TCluster.Value == 1) own = value;
        else Store(ref own, rank, value);
    }

    /// <inheritdoc cref="Store{TCluster}(ref int, int, int)"/>
    public static void Store<TCluster>(ref float own, int rank, float value) where TCluster : struct, IKernelCount
    {
        if (TCluster.Value == 1) own = value;
        else Store(ref own, rank, value);
    }

    [IntrinsicImplementation, PtxOp("barrier.cluster.arrive.release;")]
    private static void Arrive(ref uint anchor) => EmulatedCluster.Enter(ref anchor);

    [IntrinsicImplementation, PtxOp("barrier.cluster.wait.acquire;")]
    private static void Wait() => EmulatedCluster.Sync();

    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; mapa.shared::cluster.u32 at, $s0, $1; ld.shared::cluster.u32 $r, [at]; }")]
    private static uint Load(ref uint own, int rank) => EmulatedCluster.Of(ref own, rank);

    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; mapa.shared::cluster.u32 at, $s0, $1; ld.shared::cluster.v2.u32 {$r.0, $r.1}, [at]; }")]
    private static U2 Load(ref U2 own, int rank) => EmulatedCluster.Of(ref own, rank);

    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; mapa.shared::cluster.u32 at, $s0, $1; st.shared::cluster.u32 [at], $2; }")]
    private static void Store(ref int own, int rank, int value) => EmulatedCluster.Of(ref own, rank) = value;

    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; mapa.shared::cluster.u32 at, $s0, $1; st.shared::cluster.u64 [at], $2; }")]
    private static void Store(ref ulong own, int rank, ulong value) => EmulatedCluster.Of(ref own, rank) = value;

    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; mapa.shared::cluster.u32 at, $s0, $1; st.shared::cluster.f32 [at], $2; }")]
    private static void Store(ref float own, int rank, float value) => EmulatedCluster.Of(ref own, rank) = value;
}
