using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Memory between the kernels of a selection, for all sets of a <see cref="TokenScores"/>.</summary>
internal sealed class SelectMemory : IDisposable
{
    private readonly GpuBuffer _counters;
    private readonly GpuBuffer _chunks;
    private readonly GpuBuffer _survivors;
    private readonly GpuBuffer _candidates;
    private readonly Func<long, GpuBuffer> _allocate;
    private GpuBuffer? _masses;
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
        _allocate = bytes => new GpuBuffer(device, bytes, "selection", memory);
        _counters = _allocate((long)_sets * (SortableKey.TopCounts + 4) * sizeof(uint));
        _chunks = _allocate(chunks * 4 * sizeof(uint));
        _survivors = _allocate(chunks * chunkTokens * 2 * sizeof(uint));
        _candidates = _allocate(chunks * chunkTokens * sizeof(uint));
        _counters.Clear();
    }

    /// <summary>The kernels' view; selections by mass need more, which is allocated at the first of them.</summary>
    public SelectScratch View(bool mass)
    {
        var counters = GpuBuffer.View<uint>(_counters);
        var chunks = GpuBuffer.View<U2>(_chunks);
        long bins = (long)_sets * SortableKey.TopCounts, half = (long)_sets * _chunksPerSet;
        var view = new SelectScratch
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
            Maxima = counters.SubView(bins + 3 * _sets, _sets),
        };
        if (!mass) return view;
        // the cuts first: a view can only be cast from a multiple of its elements' size
        int cutWords = System.Runtime.CompilerServices.Unsafe.SizeOf<MassCut>() / sizeof(ulong);
        if (_masses is null)
        {
            _masses = _allocate((long)_sets * (cutWords + SortableKey.TopBins + 2) * sizeof(ulong));
            _masses.Clear();
        }
        var masses = GpuBuffer.View<ulong>(_masses);
        long cuts = (long)_sets * cutWords, sums = (long)_sets * SortableKey.TopBins;
        view.Cuts = masses.SubView(0, cuts).Cast<MassCut>();
        view.Masses = masses.SubView(cuts, sums);
        view.Totals = masses.SubView(cuts + sums, 2 * _sets);
        return view;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _counters.Dispose();
        _chunks.Dispose();
        _survivors.Dispose();
        _candidates.Dispose();
        _masses?.Dispose();
    }
}
