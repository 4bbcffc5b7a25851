using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>DRAFT</summary>
internal static unsafe class CpuAppend
{
    public static void Run(WorkerPool pool, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan k, DeviceSpan v) => throw new NotImplementedException();
}
