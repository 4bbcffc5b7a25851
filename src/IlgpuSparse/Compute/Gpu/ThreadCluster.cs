using ILGPU;
using ILGPU.Backends.PTX;
using ILGPU.IR.Intrinsics;
using ILGPU.Runtime.Cuda;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// Groups of threads that run at the same time and reach each other's shared memory (thread-block clusters, compute capability 9.0). A kernel whose <see cref="KernelVariant.ClusterSize"/> is more than 1 has clusters of that
/// many groups along the first axis of its grid, which is as long: <c>Grid.IdxX</c> is a group's rank.
/// </summary>
/// <remarks>
/// Memory of another group is named by the same place in the own one, and can be dynamic shared memory. Groups send (<see cref="Send{TCluster}(ref int, int, int, ref ulong)"/>) once all have begun (<see cref="AwaitBegun"/>), and none ends before all that is sent
/// to it has come. Nobody reads from another: that would be there and back, behind a barrier of all threads that waits until each one's writes are seen everywhere, in memory too (a <c>release</c> is <c>MEMBAR.ALL.GPU</c>, some half a microsecond).
/// On the CPU accelerator the bodies do the same for the groups that a device runs at once, see <see cref="EmulatedCluster"/>.
/// </remarks>
internal static class ThreadCluster
{
    /// <summary>Largest cluster that every device runs; more have to be allowed for each kernel (<see cref="CudaDriver.AllowLargeClusters"/>).</summary>
    public const int PortableSize = 8;

    /// <summary>Whether devices of this compute capability have clusters.</summary>
    public static bool IsKnownTo(int major) => major >= 9;

    /// <summary>Whether code of <paramref name="backend"/> may have them: it sends with PTX 8.1, which drivers know from CUDA 12.1 on.</summary>
    public static bool IsKnownTo(PTXBackend backend) => IsKnownTo(backend.Architecture.Major) && backend.InstructionSet >= CudaInstructionSet.ISA_81;

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

    /// <summary>Tells the cluster that this group has begun and that its barrier words are made; all threads call, without waiting. <paramref name="anchor"/>: see <see cref="Sync"/>.</summary>
    public static void Begin<TCluster>(ref uint anchor) where TCluster : struct, IKernelCount
    {
        if (TCluster.Value > 1) ArriveAtOnce(ref anchor);
    }

    /// <summary>Waits until all groups have begun. All threads call, before one of them sends.</summary>
    public static void AwaitBegun<TCluster>() where TCluster : struct, IKernelCount
    {
        if (TCluster.Value > 1) Wait();
    }

    /// <summary>What the thread has written to memory is there for whoever is told later.</summary>
    public static void Publish<TCluster>() where TCluster : struct, IKernelCount
    {
        if (TCluster.Value > 1) Fence();
    }

    /// <summary>
    /// Writes to the place of <paramref name="own"/> in group <paramref name="rank"/>, whose <paramref name="barrier"/> counts the bytes (<see cref="BulkCopy"/>): who finds them complete (<see cref="AwaitSent"/>) sees them, and nobody else waits. For a single group a write.
    /// </summary>
    public static void Send<TCluster>(ref int own, int rank, int value, ref ulong barrier) where TCluster : struct, IKernelCount
    {
        if (TCluster.Value == 1) own = value;
        else Send(ref own, rank, value, ref barrier);
    }

    /// <inheritdoc cref="Send{TCluster}(ref int, int, int, ref ulong)"/>
    public static void Send<TCluster>(ref ulong own, int rank, ulong value, ref ulong barrier) where TCluster : struct, IKernelCount
    {
        if (TCluster.Value == 1) own = value;
        else Send(ref own, rank, value, ref barrier);
    }

    /// <inheritdoc cref="Send{TCluster}(ref int, int, int, ref ulong)"/>
    public static void Send<TCluster>(ref float own, int rank, float value, ref ulong barrier) where TCluster : struct, IKernelCount
    {
        if (TCluster.Value == 1) own = value;
        else Send(ref own, rank, value, ref barrier);
    }

    /// <summary>Waits until all bytes have been sent that <paramref name="barrier"/> was told to expect; for a single group its barrier. One warp asks and the others sleep: another group of the multiprocessor may be at work.</summary>
    public static void AwaitSent<TCluster>(ref ulong barrier) where TCluster : struct, IKernelCount
    {
        if (TCluster.Value > 1 && Group.IdxX < 32)
        {
            while (BulkCopy.IsSent(ref barrier) == 0) { }
        }
        Group.Barrier();
    }

    [IntrinsicImplementation, PtxOp("barrier.cluster.arrive.release;")]
    private static void Arrive(ref uint anchor) => EmulatedCluster.Enter(ref anchor);

    // barrier words have a fence of their own (BulkCopy.Make), and nothing else is told by it
    [IntrinsicImplementation, PtxOp("barrier.cluster.arrive.relaxed;")]
    private static void ArriveAtOnce(ref uint anchor) => EmulatedCluster.Enter(ref anchor);

    [IntrinsicImplementation, PtxOp("fence.acq_rel.cluster;")]
    private static void Fence() => Thread.MemoryBarrier();

    [IntrinsicImplementation, PtxOp("barrier.cluster.wait.acquire;")]
    private static void Wait() => EmulatedCluster.Sync();

    [IntrinsicImplementation, PtxOp("{ .reg .b32 at, bar; mapa.shared::cluster.u32 at, $s0, $1; mapa.shared::cluster.u32 bar, $s3, $1; st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [at], $2, [bar]; }")]
    private static void Send(ref int own, int rank, int value, ref ulong barrier)
    {
        EmulatedCluster.Of(ref own, rank) = value;
        Interlocked.Add(ref EmulatedCluster.Of(ref barrier, rank), unchecked((ulong)-sizeof(int)));
    }

    [IntrinsicImplementation, PtxOp("{ .reg .b32 at, bar; mapa.shared::cluster.u32 at, $s0, $1; mapa.shared::cluster.u32 bar, $s3, $1; st.async.shared::cluster.mbarrier::complete_tx::bytes.u64 [at], $2, [bar]; }")]
    private static void Send(ref ulong own, int rank, ulong value, ref ulong barrier)
    {
        EmulatedCluster.Of(ref own, rank) = value;
        Interlocked.Add(ref EmulatedCluster.Of(ref barrier, rank), unchecked((ulong)-sizeof(ulong)));
    }

    [IntrinsicImplementation, PtxOp("{ .reg .b32 at, bar, v; mov.b32 v, $2; mapa.shared::cluster.u32 at, $s0, $1; mapa.shared::cluster.u32 bar, $s3, $1; st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [at], v, [bar]; }")]
    private static void Send(ref float own, int rank, float value, ref ulong barrier)
    {
        EmulatedCluster.Of(ref own, rank) = value;
        Interlocked.Add(ref EmulatedCluster.Of(ref barrier, rank), unchecked((ulong)-sizeof(float)));
    }
}
