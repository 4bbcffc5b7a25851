namespace IlgpuSparse.Compute.Cpu;

/// <summary>What is done with a set of tokens as soon as it is chosen, by whoever chose it: a job of any type, without its type.</summary>
/// <param name="body">Does the job's task.</param>
/// <param name="job">The job, which must not move.</param>
internal readonly unsafe struct SetBody(delegate*<void*, int, int, void> body, void* job)
{
    private readonly delegate*<void*, int, int, void> _body = body;
    private readonly void* _job = job;

    /// <summary>Whether there is anything to do.</summary>
    public bool Exists => _body != null;

    /// <summary>Does it for set <paramref name="task"/> of <c>[row, set]</c>.</summary>
    public void Execute(int task, int worker) => _body(_job, task, worker);
}
