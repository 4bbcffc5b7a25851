using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>DRAFT</summary>
internal static unsafe class CpuSelect
{
    public static void Run(WorkerPool pool, AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets) => throw new NotImplementedException();
}
