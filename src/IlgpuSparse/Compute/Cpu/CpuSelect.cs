namespace IlgpuSparse.Compute.Cpu;

/// <summary>Scores to token sets: the forced tokens of the rule and the best of the others, ascending, as many as the budget or as the mass asks for.</summary>
internal static class CpuSelect
{
    /// <summary>See <see cref="ComputeBackend.Select"/>. Vectors are at most <paramref name="vectorBits"/> wide.</summary>
    public static void Run(WorkerPool pool, AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets, int vectorBits)
    {
        var job = new SelectJob(pool.Scratch, shape, rule, batch, scores, sets, vectorBits);
        pool.Run(ref job, batch.Rows * sets.Sets);
    }
}
