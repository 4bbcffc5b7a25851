using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using ILGPU.Backends.PTX;
using ILGPU.IR.Intrinsics;
using ILGPU.Runtime.Cuda;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// Copies from device to shared memory by the copy engine (<c>cp.async.bulk</c>, compute capability 9.0), which count as arrived at a barrier word in shared memory. Loads and <c>cp.async</c> of a multiprocessor come in the order in
/// which they were asked for; these stand in no line behind them. And requests to the second-level cache by the same engine, one for what lies together (<see cref="Ahead"/>).
/// </summary>
/// <remarks>
/// One thread makes the barrier, says how many bytes come and starts the copies; all ask for <see cref="IsDone"/> behind a warp or group barrier. Addresses and lengths are multiples of 16. On the CPU accelerator the word counts the bytes.
/// </remarks>
internal static unsafe partial class BulkCopy
{
    // what the word is on the CPU accelerator until it is known how many bytes come, of which some may have
    private const ulong Unsaid = 1ul << 62;

    /// <summary>Whether code of <paramref name="backend"/> may have it.</summary>
    public static bool IsKnownTo(PTXBackend backend) => IsKnownTo(backend.Architecture, backend.InstructionSet);

    /// <summary>Whether code for an architecture in a version of PTX may have it: compute capability 9.0, and PTX 8.0, which drivers know from CUDA 12.0 on.</summary>
    public static bool IsKnownTo(CudaArchitecture architecture, CudaInstructionSet set) => architecture.Major >= 9 && set >= CudaInstructionSet.ISA_80;

    /// <summary>The kernel's text for a device that does not have it, on which nothing of it may be reached.</summary>
    public static string Remove(string ptx) => Instruction().Replace(ptx, "");

    /// <summary>Makes a barrier word: for one use here, for any number of <see cref="TensorCopy"/>.</summary>
    [IntrinsicImplementation, PtxOp("mbarrier.init.shared.b64 [$s0], 1; fence.mbarrier_init.release.cluster;")]
    public static void Make(ref ulong barrier) => Volatile.Write(ref barrier, Unsaid);

    /// <summary>Says how many bytes of copies that will be started count.</summary>
    [IntrinsicImplementation, PtxOp("mbarrier.arrive.expect_tx.shared.b64 _, [$s0], $1;")]
    public static void Expect(ref ulong barrier, int bytes) => Interlocked.Add(ref barrier, (ulong)bytes - Unsaid);

    /// <summary>Starts a copy.</summary>
    [IntrinsicImplementation, PtxOp("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [$s0], [$g1], $2, [$s3];")]
    public static void Start(ref U4 shared, ref F4 source, int bytes, ref ulong barrier)
    {
        Unsafe.CopyBlockUnaligned(ref Unsafe.As<U4, byte>(ref shared), ref Unsafe.As<F4, byte>(ref source), (uint)bytes);
        Interlocked.Add(ref barrier, unchecked((ulong)-bytes));
    }

    /// <summary>Has the second-level cache bring what is read soon.</summary>
    [IntrinsicImplementation, PtxOp("cp.async.bulk.prefetch.L2.global [$g0], $1;")]
    public static void Ahead(ref uint source, int bytes) { }

    /// <summary>1 when all bytes have come and may be read; waits a while for that.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .pred done; setp.eq.u32 done, 0, 0; mbarrier.try_wait.parity.shared.b64 done, [$s0], 0; selp.b32 $r, 1, 0, done; }")]
    public static int IsDone(ref ulong barrier) => Volatile.Read(ref barrier) == 0 ? 1 : 0;

    /// <summary>As <see cref="IsDone"/>, where other groups of a cluster send (<see cref="ThreadCluster.Send{TCluster}(ref int, int, int, ref ulong)"/>).</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .pred done; setp.eq.u32 done, 0, 0; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [$s0], 0; selp.b32 $r, 1, 0, done; }")]
    public static int IsSent(ref ulong barrier)
    {
        if (Volatile.Read(ref barrier) == 0) return 1;
        // others have to get on with it, on few processors
        Thread.Sleep(1);
        return 0;
    }

    /// <summary>Ends the barrier's life: its word may be anything else from here on.</summary>
    [IntrinsicImplementation, PtxOp("mbarrier.inval.shared.b64 [$s0];")]
    public static void End(ref ulong barrier) => Volatile.Write(ref barrier, 0);

    [GeneratedRegex(@"\b(mbarrier|fence\.mbarrier_init|cp\.async\.bulk)\b[^;]*;")]
    private static partial Regex Instruction();
}
