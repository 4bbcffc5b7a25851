namespace IlgpuSparse.Compute;

/// <summary>Operations that were recorded once (<see cref="ComputeBackend.Record"/>) and can be done again: a CUDA graph.</summary>
public abstract class RecordedWork : IDisposable
{
    /// <summary>Kernels and copies in it.</summary>
    public abstract int Nodes { get; }

    /// <summary>Does the operations, in order with what else is asked of the backend.</summary>
    public abstract void Run();

    /// <summary>Takes the operations of <paramref name="work"/> instead: cheaper than recording anew where only sizes have changed.</summary>
    public abstract void Update(Action work);

    /// <inheritdoc/>
    public abstract void Dispose();
}
