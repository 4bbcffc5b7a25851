using System.Collections.Concurrent;

namespace IlgpuSparse.Compute;

/// <summary>Live bytes of a backend by purpose ("weights", "kv", "labels", "scratch"): what the plan promised against what is there, and zero after disposal.</summary>
public sealed class MemoryLedger
{
    private readonly ConcurrentDictionary<string, long> _live = new();
    private long _total;
    private long _peak;

    /// <summary>Bytes allocated and not yet freed.</summary>
    public long LiveBytes => Interlocked.Read(ref _total);

    /// <summary>Largest <see cref="LiveBytes"/> so far.</summary>
    public long PeakBytes => Interlocked.Read(ref _peak);

    /// <summary>Live bytes by purpose.</summary>
    public IReadOnlyDictionary<string, long> ByPurpose => _live;

    internal void Add(string purpose, long bytes)
    {
        _live.AddOrUpdate(purpose, bytes, (_, old) => old + bytes);
        long total = Interlocked.Add(ref _total, bytes);
        long peak;
        while (total > (peak = Interlocked.Read(ref _peak)) && Interlocked.CompareExchange(ref _peak, total, peak) != peak) { }
    }

    internal void Remove(string purpose, long bytes) => Add(purpose, -bytes);
}
