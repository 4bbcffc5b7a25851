namespace IlgpuSparse.Compute.Cpu;

/// <summary>Puts new K and V into the paged cache, in its format.</summary>
internal static unsafe class CpuAppend
{
    // Converting less than this is faster than waking another core.
    private const int ElementsPerTask = 16384;

    /// <summary>See <see cref="ComputeBackend.AppendKv"/>.</summary>
    public static void Run(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan k, DeviceSpan v)
    {
        CpuDecodeAttention.Check(shape, batch);
        int rowsPerTask = Math.Max(1, ElementsPerTask / (shape.KvHeads * shape.HeadDim));
        var job = new AppendJob
        {
            Shape = shape,
            Format = cache.Format,
            KCache = CpuBuffer.Pointer<byte>(cache.K),
            VCache = CpuBuffer.Pointer<byte>(cache.V),
            KScales = cache.KScales is null ? null : CpuBuffer.Pointer<float>(cache.KScales),
            VScales = cache.VScales is null ? null : CpuBuffer.Pointer<float>(cache.VScales),
            K = CpuBuffer.Pointer<float>(k),
            V = CpuBuffer.Pointer<float>(v),
            Positions = CpuBuffer.Pointer<int>(batch.Positions),
            BlockTable = CpuBuffer.Pointer<int>(batch.BlockTable),
            BlockStride = batch.IsPrefill ? 0 : batch.MaxBlocks,
            Rows = batch.Rows,
            RowsPerTask = rowsPerTask,
        };
        pool.Run(ref job, (batch.Rows + rowsPerTask - 1) / rowsPerTask);
    }
}
