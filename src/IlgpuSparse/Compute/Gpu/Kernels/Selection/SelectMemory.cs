using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Memory between the kernels of a selection, for all sets of a <see cref="TokenScores"/>.</summary>
internal sealed class SelectMemory : IDisposable
{
    private readonly GpuBuffer _counters;
    private readonly GpuBuffer _chunks;
    private readonly GpuBuffer _survivors;
    private readonly GpuBuffer _candidates;
    private readonly int _sets;
    private readonly int _chunksPerSet;
    private readonly int _chunkTokens;

    /// <summary>Allocates for chunks of <paramref name="chunkTokens"/> tokens.</summary>
    /// <exception cref="ArgumentException">More chunks a set than the kernels can count.</exception>
    public SelectMemory(GpuDevice device, MemoryLedger memory, TokenScores scores, int chunkTokens)
    {
        _chunkTokens = chunkTokens;
        _chunksPerSet = (scores.Capacity + chunkTokens - 1) / chunkTokens;
        if (_chunksPerSet > FilterEnd.MaxChunks)
            throw new ArgumentException($"room for {scores.Capacity} scores a set; selection takes at most {(long)FilterEnd.MaxChunks * chunkTokens}", nameof(scores));
        _sets = checked((int)(scores.Buffer.ByteLength / sizeof(float) / scores.Capacity));
        long chunks = (long)_sets * _chunksPerSet;
        _counters = new GpuBuffer(device, (long)_sets * (SortableKey.TopCounts + 4) * sizeof(uint), "selection", memory);
        _chunks = new GpuBuffer(device, chunks * 4 * sizeof(uint), "selection", memory);
        _survivors = new GpuBuffer(device, chunks * chunkTokens * 2 * sizeof(uint), "selection", memory);
        _candidates = new GpuBuffer(device, chunks * chunkTokens * sizeof(uint), "selection", memory);
        _counters.Clear();
    }

    /// <summary>The kernels' view.</summary>
    public SelectScratch View()
    {
        var counters = GpuBuffer.View<uint>(_counters);
        var chunks = GpuBuffer.View<U2>(_chunks);
        long bins = (long)_sets * SortableKey.TopCounts, half = (long)_sets * _chunksPerSet;
        return new SelectScratch
        {
            Histogram = counters.SubView(0, bins),
            Arrivals = counters.SubView(bins, _sets).Cast<int>(),
            CandidateCounts = counters.SubView(bins + _sets, _sets).Cast<int>(),
            Thresholds = counters.SubView(bins + 2 * _sets, _sets),
            Survivors = GpuBuffer.View<U2>(_survivors),
            Candidates = GpuBuffer.View<uint>(_candidates),
            ChunkCounts = chunks.SubView(0, half),
            ChunkPlaces = chunks.SubView(half, half),
            Stride = _chunksPerSet * _chunkTokens,
            Chunks = _chunksPerSet,
        };
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _counters.Dispose();
        _chunks.Dispose();
        _survivors.Dispose();
        _candidates.Dispose();
    }
}
