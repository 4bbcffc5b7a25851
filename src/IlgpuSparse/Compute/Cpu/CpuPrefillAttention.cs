using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>DRAFT</summary>
internal static unsafe class CpuPrefillAttention
{
    public static void Run(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y) => throw new NotImplementedException();
}
