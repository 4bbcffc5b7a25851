using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Attention of one query a row, over all tokens or over selected ones. K and V of a kv head are read once for all query heads of its group.</summary>
internal static unsafe class CpuDecodeAttention
{
    /// <summary>Over every visible token; see <see cref="ComputeBackend.Attend"/>. Vectors are at most <paramref name="vectorBits"/> wide; <paramref name="shiftHalves"/>: see <see cref="ShiftedF16Element"/>.</summary>
    public static void Dense(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y, int vectorBits, bool shiftHalves) =>
        Run(pool, shape, cache, batch, q, null, y, vectorBits, shiftHalves);

    /// <summary>Over the tokens of <paramref name="sets"/>; see <see cref="ComputeBackend.AttendSelected"/>. An empty set gives zeros. With a <paramref name="choice"/> the sets are chosen first, and each is attended to by whoever chose it. Vectors are at most <paramref name="vectorBits"/> wide; <paramref name="shiftHalves"/>: see <see cref="ShiftedF16Element"/>.</summary>
    public static void Selected(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, TokenSets sets, DeviceSpan y, int vectorBits, bool shiftHalves, LabelChoice? choice = null)
    {
        if (sets.Sets != shape.KvHeads && sets.Sets != shape.Heads)
            throw new ArgumentException($"{sets.Sets} token sets a row; {shape.KvHeads} (one a kv head) or {shape.Heads} (one a query head) can be attended", nameof(sets));
        Run(pool, shape, cache, batch, q, sets, y, vectorBits, shiftHalves, choice);
    }

    /// <summary>Throws unless the kernels have a path for <paramref name="shape"/> and <paramref name="batch"/> fits its block table.</summary>
    public static void Check(AttentionShape shape, StepBatch batch)
    {
        if (shape.HeadDim is < 16 or > 256 || shape.HeadDim % 2 != 0)
            throw new ArgumentException($"head size {shape.HeadDim} is not supported: it must be an even number from 16 to 256", nameof(shape));
        if (shape.KvHeads < 1 || shape.Heads < 1 || shape.Heads % shape.KvHeads != 0)
            throw new ArgumentException($"{shape.KvHeads} kv heads do not divide {shape.Heads} query heads", nameof(shape));
        if (batch.MaxLength > (long)batch.MaxBlocks * KvLayer.BlockTokens)
            throw new ArgumentException($"a length of {batch.MaxLength} tokens does not fit {batch.MaxBlocks} blocks of {KvLayer.BlockTokens}", nameof(batch));
    }

    private static void Run(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, TokenSets? sets, DeviceSpan y, int vectorBits, bool shiftHalves, LabelChoice? choice = null)
    {
        Check(shape, batch);
        // a load is two vectors, and no row may be shorter than that
        if (vectorBits >= 512 && Vector512.IsHardwareAccelerated && shape.HeadDim >= 32) Run<Simd512>(pool, shape, cache, batch, q, sets, y, vectorBits, shiftHalves, choice);
        else if (vectorBits >= 256 && Vector256.IsHardwareAccelerated) Run<Simd256>(pool, shape, cache, batch, q, sets, y, vectorBits, shiftHalves, choice);
        else Run<Simd128>(pool, shape, cache, batch, q, sets, y, vectorBits, shiftHalves, choice);
    }

    private static void Run<V>(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, TokenSets? sets, DeviceSpan y, int vectorBits, bool shiftHalves, LabelChoice? choice)
        where V : struct, ISimd<V>
    {
        switch (cache.Format)
        {
            case KvFormat.F32: Run<V, F32Element>(pool, shape, cache, batch, q, sets, y, vectorBits, choice); break;
            case KvFormat.F16 when shiftHalves: Run<V, ShiftedF16Element>(pool, shape, cache, batch, q, sets, y, vectorBits, choice); break;
            case KvFormat.F16: Run<V, F16Element>(pool, shape, cache, batch, q, sets, y, vectorBits, choice); break;
            case KvFormat.BF16: Run<V, BF16Element>(pool, shape, cache, batch, q, sets, y, vectorBits, choice); break;
            case KvFormat.Int8: Run<V, Int8Element>(pool, shape, cache, batch, q, sets, y, vectorBits, choice); break;
            default: throw new ArgumentException($"the CPU backend has no K and V in {cache.Format}", nameof(cache));
        }
    }

    private static void Run<V, TElement>(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, TokenSets? sets, DeviceSpan y, int vectorBits, LabelChoice? choice)
        where V : struct, ISimd<V>
        where TElement : struct, IKvElement
    {
        var job = new DecodeAttentionJob<V, TElement>
        {
            Shape = shape,
            KCache = CpuBuffer.Pointer<byte>(cache.K),
            VCache = CpuBuffer.Pointer<byte>(cache.V),
            KScales = cache.KScales is null ? null : CpuBuffer.Pointer<float>(cache.KScales),
            VScales = cache.VScales is null ? null : CpuBuffer.Pointer<float>(cache.VScales),
            Positions = CpuBuffer.Pointer<int>(batch.Positions),
            BlockTable = CpuBuffer.Pointer<int>(batch.BlockTable),
            BlockStride = batch.IsPrefill ? 0 : batch.MaxBlocks,
            Indices = sets is null ? null : CpuBuffer.Pointer<int>(sets.Indices),
            Counts = sets is null ? null : CpuBuffer.Pointer<int>(sets.Counts),
            SetCapacity = sets?.Capacity ?? 0,
            Sets = sets?.Sets ?? shape.KvHeads,
            Q = CpuBuffer.Pointer<float>(q),
            Y = CpuBuffer.Pointer<float>(y),
            Scratch = pool.Scratch,
        };
        if (choice is null)
        {
            job.Run(pool, batch.Rows);
            return;
        }
        job.TakeWhole(batch.Rows);
        var selection = new SelectJob(pool.Scratch, choice.Shape, choice.Rule, batch, choice.Scores, choice.Sets, vectorBits);
        CpuScore.Run(pool, choice.Shape, choice.Labels, batch, choice.Queries, choice.Reduction, choice.Scores, selection, new SetBody(&Execute<V, TElement>, Unsafe.AsPointer(ref job)));
    }

    private static void Execute<V, TElement>(void* job, int task, int worker)
        where V : struct, ISimd<V>
        where TElement : struct, IKvElement => Unsafe.AsRef<DecodeAttentionJob<V, TElement>>(job).Execute(task, worker);
}
