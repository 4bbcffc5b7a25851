using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Memory between the kernels of a selection, for all sets of a <see cref="TokenScores"/>.</summary>
internal sealed class SelectMemory : IDisposable
{
    private readonly List<GpuBuffer> _buffers = [];
    private readonly Func<long, GpuBuffer> _allocate;
    private readonly GpuBuffer _counters;
    private readonly GpuBuffer _open;
    private readonly GpuBuffer? _histograms;
    private readonly int _sets;
    private readonly int _chunksPerSet;
    private readonly int _chunkTokens;
    private readonly int _filterChunks;
    private (GpuBuffer Counters, GpuBuffer Chunks, GpuBuffer Survivors, GpuBuffer Candidates, GpuBuffer Masses)? _mass;

    /// <summary>Allocates for chunks of <paramref name="chunkTokens"/> tokens, or those of a filter's groups of <paramref name="filterThreads"/>.</summary>
    /// <exception cref="ArgumentException">More chunks a set than the kernels can count.</exception>
    public SelectMemory(GpuDevice device, MemoryLedger memory, TokenScores scores, int chunkTokens, int filterThreads = SetFilterKernel.GroupSize)
    {
        _chunkTokens = chunkTokens;
        _chunksPerSet = (scores.Capacity + chunkTokens - 1) / chunkTokens;
        if (_chunksPerSet > CandidateList.MaxChunks)
            throw new ArgumentException($"room for {scores.Capacity} scores a set; selection takes at most {(long)CandidateList.MaxChunks * chunkTokens}", nameof(scores));
        _sets = checked((int)(scores.Buffer.ByteLength / sizeof(float) / scores.Capacity));
        _allocate = bytes =>
        {
            var buffer = new GpuBuffer(device, bytes, "selection", memory);
            _buffers.Add(buffer);
            return buffer;
        };
        _filterChunks = scores.Capacity / SetFilterKernel.ShortestChunk(filterThreads) + 1;
        try
        {
            _counters = _allocate((long)_sets * (ScoreBins.Counts + 3 + _filterChunks) * sizeof(uint));
            _open = _allocate((long)_sets * SetFilter.MaxOpen * sizeof(ulong));
            if (device.Kind != GpuKind.OpenCl) _histograms = _allocate((long)GpuResidentScore.MostGroups(device, _sets) * ScoreBins.Counts * sizeof(uint));
            _counters.Clear();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The kernels' view; selections by <paramref name="mass"/> need more, which is allocated at the first of them.</summary>
    public SelectScratch View(bool mass)
    {
        var counters = GpuBuffer.View<uint>(_counters);
        long bins = (long)_sets * ScoreBins.Counts;
        var view = new SelectScratch
        {
            Bins = counters.SubView(0, bins),
            Arrivals = counters.SubView(bins, _sets).Cast<int>(),
            CandidateCounts = counters.SubView(bins + _sets, _sets).Cast<int>(),
            Spreads = counters.SubView(bins + 2 * _sets, _sets).Cast<float>(),
            FilterCounts = counters.SubView(bins + 3 * _sets, (long)_sets * _filterChunks),
            Open = GpuBuffer.View<ulong>(_open),
            Histograms = _histograms is null ? default : GpuBuffer.View<uint>(_histograms),
            Stride = _chunksPerSet * _chunkTokens,
            Chunks = _chunksPerSet,
            FilterChunks = _filterChunks,
        };
        if (mass) AddMass(ref view);
        return view;
    }

    private void AddMass(ref SelectScratch view)
    {
        // the cuts first: a view can only be cast from a multiple of its elements' size
        int cutWords = Unsafe.SizeOf<MassCut>() / sizeof(ulong);
        if (_mass is null)
        {
            long all = (long)_sets * _chunksPerSet;
            int known = _buffers.Count;
            try
            {
                _mass = (_allocate((long)_sets * (SortableKey.TopCounts + 2) * sizeof(uint)), _allocate(all * 4 * sizeof(uint)), _allocate(all * _chunkTokens * 2 * sizeof(uint)),
                    _allocate(all * _chunkTokens * sizeof(uint)), _allocate((long)_sets * (cutWords + SortableKey.TopBins + 2) * sizeof(ulong)));
                _mass.Value.Counters.Clear();
                _mass.Value.Masses.Clear();
            }
            catch
            {
                // the next selection asks anew
                _mass = null;
                foreach (var buffer in _buffers[known..]) buffer.Dispose();
                _buffers.RemoveRange(known, _buffers.Count - known);
                throw;
            }
        }
        var memory = _mass.Value;
        var counters = GpuBuffer.View<uint>(memory.Counters);
        var chunks = GpuBuffer.View<U2>(memory.Chunks);
        var masses = GpuBuffer.View<ulong>(memory.Masses);
        long bins = (long)_sets * SortableKey.TopCounts, half = (long)_sets * _chunksPerSet, cuts = (long)_sets * cutWords, sums = (long)_sets * SortableKey.TopBins;
        view.Histogram = counters.SubView(0, bins);
        view.Thresholds = counters.SubView(bins, _sets);
        view.Maxima = counters.SubView(bins + _sets, _sets);
        view.Survivors = GpuBuffer.View<U2>(memory.Survivors);
        view.Candidates = GpuBuffer.View<uint>(memory.Candidates);
        view.ChunkCounts = chunks.SubView(0, half);
        view.ChunkPlaces = chunks.SubView(half, half);
        view.Cuts = masses.SubView(0, cuts).Cast<MassCut>();
        view.Masses = masses.SubView(cuts, sums);
        view.Totals = masses.SubView(cuts + sums, 2 * _sets);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var buffer in _buffers) buffer.Dispose();
    }
}
