using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>DRAFT</summary>
internal static unsafe class CpuScore
{
    public static void Run(WorkerPool pool, AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, TokenScores scores) => throw new NotImplementedException();
}
