namespace IlgpuSparse.Compute.Cpu;

/// <summary>The scratch of a <see cref="WorkerPool"/>, so that operations allocate nothing once they have seen their largest shape.</summary>
internal sealed class CpuScratch : IDisposable
{
    private readonly ScratchMemory[] _workers;

    public CpuScratch(int workers, MemoryLedger? ledger)
    {
        _workers = [.. Enumerable.Range(0, workers).Select(_ => new ScratchMemory(ledger))];
        Operand = new ScratchMemory(ledger);
        Rows = new ScratchMemory(ledger);
        Experts = new ScratchMemory(ledger);
        Attention = new ScratchMemory(ledger);
    }

    /// <summary>A small vector operand (norm weights, bias) as floats, for the length of one operation.</summary>
    public ScratchMemory Operand { get; }

    /// <summary>The rows that a blocked product multiplies, laid out for it.</summary>
    public ScratchMemory Rows { get; }

    /// <summary>Intermediates of the experts, kept across the matrix products they are made of.</summary>
    public ScratchMemory Experts { get; }

    /// <summary>Partial results of decode attention, shared by the tasks of one operation.</summary>
    public ScratchMemory Attention { get; }

    /// <summary>Private to the task that <paramref name="worker"/> is running.</summary>
    public ScratchMemory Worker(int worker) => _workers[worker];

    public void Dispose()
    {
        foreach (var scratch in _workers) scratch.Dispose();
        Operand.Dispose();
        Rows.Dispose();
        Experts.Dispose();
        Attention.Dispose();
    }
}
