using ILGPU;
using ILGPU.Runtime;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// One allocation for all weights of a model on CUDA, which gives large memory in steps of 2 MiB: hundreds of matrices of their own waste a megabyte each. Buffers take their places one after the other; the
/// memory is freed with the last of them, after the arena itself is disposed.
/// </summary>
internal sealed class WeightArena : IDisposable
{
    /// <summary>Bytes that places begin at multiples of.</summary>
    public const int Alignment = 256;

    private int _users = 1; // itself
    private bool _disposed;
    private long _taken;

    /// <summary>Room for buffers of <paramref name="sizes"/> bytes, in any order.</summary>
    /// <exception cref="InsufficientMemoryException">The device has not that much.</exception>
    public WeightArena(GpuDevice device, IEnumerable<long> sizes, MemoryLedger ledger) => Memory = GpuBuffer.AllocateMemory(device, sizes.Sum(Aligned), "weights", ledger);

    /// <summary>All of it.</summary>
    public MemoryBuffer1D<byte, Stride1D.Dense> Memory { get; }

    /// <summary>Whether it is freed.</summary>
    public bool IsFreed => _users == 0;

    /// <summary>Takes the next place; false where there is no room. Who has taken one says <see cref="Release"/> once.</summary>
    public bool TryTake(long bytes, out long start)
    {
        start = 0;
        if (_disposed || Aligned(bytes) > Memory.Length - _taken) return false;
        start = _taken;
        _taken += Aligned(bytes);
        Interlocked.Increment(ref _users);
        return true;
    }

    /// <summary>A buffer is disposed.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _users) == 0) Memory.Dispose();
    }

    /// <summary>Nothing takes a place after this.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        Release();
    }

    private static long Aligned(long bytes) => (Math.Max(1, bytes) + Alignment - 1) & -Alignment;
}
