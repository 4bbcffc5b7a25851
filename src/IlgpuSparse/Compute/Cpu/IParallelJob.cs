namespace IlgpuSparse.Compute.Cpu;

/// <summary>Work cut into independent tasks, run by <see cref="WorkerPool"/> without allocating.</summary>
internal interface IParallelJob
{
    /// <summary>Does task <paramref name="task"/> on worker <paramref name="worker"/> (0 .. Workers-1, for per-worker scratch).</summary>
    void Execute(int task, int worker);
}
