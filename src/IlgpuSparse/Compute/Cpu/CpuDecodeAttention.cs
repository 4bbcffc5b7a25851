using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>DRAFT</summary>
internal static unsafe class CpuDecodeAttention
{
    public static void Dense(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y) => throw new NotImplementedException();

    public static void Selected(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, TokenSets sets, DeviceSpan y) => throw new NotImplementedException();
}
