namespace IlgpuSparse.Compute.Cpu;

/// <summary>Causal attention of a chunk of consecutive tokens.</summary>
internal static class CpuPrefillAttention
{
    public static void Run(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y) =>
        CpuDecodeAttention.Dense(pool, shape, cache, batch, q, y);
}
