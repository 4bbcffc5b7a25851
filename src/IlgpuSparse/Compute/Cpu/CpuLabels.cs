using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>DRAFT</summary>
internal static unsafe class CpuLabels
{
    public static void Append(WorkerPool pool, AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan k) => throw new NotImplementedException();
}
