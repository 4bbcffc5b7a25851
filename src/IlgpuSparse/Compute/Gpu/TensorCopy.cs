using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// Copies of whole stages of weights to shared memory by the copy engine, a request each (<c>cp.async.bulk.tensor</c>, compute capability 9.0): where their rows lie is said by a <see cref="StageMap"/> in device memory. Each counts as arrived at a barrier word
/// in shared memory, which serves one copy after another: the first is asked for with parity 0, the second with 1, and so on.
/// </summary>
/// <remarks>One thread makes the word (<see cref="BulkCopy.Make"/>), and one starts a copy when nobody reads what lies there any more; all ask for <see cref="IsDone"/>. On the CPU accelerator the word's low bits count the copies that have arrived.</remarks>
internal static unsafe class TensorCopy
{
    /// <summary>Whether devices of this compute capability have it.</summary>
    public static bool IsKnownTo(int major) => major >= 9;

    /// <summary>Has the map at a device address brought to where the copy engine looks for it.</summary>
    [IntrinsicImplementation, PtxOp("prefetch.tensormap [$0];")]
    public static void Ahead(long map) { }

    /// <summary>
    /// Starts a copy of <paramref name="bytes"/>, eight times what the map has of a row for a stage, to <paramref name="shared"/>, at a multiple of 128: four rows and four more from number <paramref name="column"/> of four bytes on, a multiple of four, of one of the map's parts in one of its
    /// blocks. What the map does not have are zeros.
    /// </summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 c0, c3, c4, zero; mov.b32 c0, $2; mov.b32 c3, $3; mov.b32 c4, $4; mov.b32 zero, 0; mbarrier.arrive.expect_tx.shared.b64 _, [$s5], $6; cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [$s0], [$1, {c0, zero, zero, c3, c4}], [$s5], $7; }")]
    public static void Start(ref U4 shared, long map, int column, int part, int block, ref ulong barrier, int bytes, ulong policy)
    {
        ((StageMap*)map)->Copy(ref shared, column, part, block);
        Volatile.Write(ref barrier, barrier + 1);
    }

    /// <summary>1 when the copy of the given parity has come and may be read; waits a while for that.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .pred done; setp.eq.u32 done, 0, 0; mbarrier.try_wait.parity.shared.b64 done, [$s0], $1; selp.b32 $r, 1, 0, done; }")]
    public static int IsDone(ref ulong barrier, int parity)
    {
        if ((Volatile.Read(ref barrier) & 1) != (uint)parity) return 1;
        // others have to get on with it, on few processors
        Thread.Yield();
        return 0;
    }
}
