using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Causal attention of a chunk of consecutive tokens; see <see cref="PrefillAttentionJob{V, TElement}"/>.</summary>
internal static unsafe class CpuPrefillAttention
{
    /// <summary>See <see cref="ComputeBackend.Attend"/>. Vectors are at most <paramref name="vectorBits"/> wide; <paramref name="shiftHalves"/> concerns the few rows that go one by one.</summary>
    public static void Run(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y, int vectorBits, bool shiftHalves)
    {
        CpuDecodeAttention.Check(shape, batch);
        if (vectorBits >= 512 && Vector512.IsHardwareAccelerated && shape.HeadDim >= 32) Run<Simd512>(pool, shape, cache, batch, q, y, vectorBits, shiftHalves);
        else if (vectorBits >= 256 && Vector256.IsHardwareAccelerated) Run<Simd256>(pool, shape, cache, batch, q, y, vectorBits, shiftHalves);
        else Run<Simd128>(pool, shape, cache, batch, q, y, vectorBits, shiftHalves);
    }

    private static void Run<V>(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y, int vectorBits, bool shiftHalves)
        where V : struct, ISimd<V>
    {
        // fewer queries than a register tile has rows: one by one
        if (batch.Rows * shape.GroupSize < GemmTile.Rows<V>())
        {
            CpuDecodeAttention.Dense(pool, shape, cache, batch, q, y, vectorBits, shiftHalves);
            return;
        }
        switch (cache.Format)
        {
            case KvFormat.F32: Run<V, F32Element>(pool, shape, cache, batch, q, y); break;
            case KvFormat.F16: Run<V, F16Element>(pool, shape, cache, batch, q, y); break;
            case KvFormat.BF16: Run<V, BF16Element>(pool, shape, cache, batch, q, y); break;
            case KvFormat.Int8: Run<V, Int8Element>(pool, shape, cache, batch, q, y); break;
            default: throw new ArgumentException($"the CPU backend has no K and V in {cache.Format}", nameof(cache));
        }
    }

    private static void Run<V, TElement>(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y)
        where V : struct, ISimd<V>
        where TElement : struct, IKvElement
    {
        var job = new PrefillAttentionJob<V, TElement>
        {
            Shape = shape,
            KCache = CpuBuffer.Pointer<byte>(cache.K),
            VCache = CpuBuffer.Pointer<byte>(cache.V),
            KScales = cache.KScales is null ? null : CpuBuffer.Pointer<float>(cache.KScales),
            VScales = cache.VScales is null ? null : CpuBuffer.Pointer<float>(cache.VScales),
            Blocks = CpuBuffer.Pointer<int>(batch.BlockTable),
            Start = batch.HostPositions[0],
            Q = CpuBuffer.Pointer<float>(q),
            Y = CpuBuffer.Pointer<float>(y),
            Scratch = pool.Scratch,
        };
        job.Run(pool, batch.Rows);
    }
}
