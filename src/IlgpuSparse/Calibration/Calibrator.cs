using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;

namespace IlgpuSparse.Calibration;

/// <summary>Runs token windows through a dense decoder and gathers <see cref="ChannelStatistics"/> from the queries and keys that pass by.</summary>
public sealed class Calibrator
{
    // Tokens whose sums a device makes in single precision.
    private const int PartRows = 256;

    private readonly LlamaDecoder _decoder;
    private ChannelStatistics? _target;
    private CalibrationSample? _sample;

    /// <summary>Uses <paramref name="decoder"/>, whose cache must hold the longest window.</summary>
    public Calibrator(LlamaDecoder decoder) => _decoder = decoder;

    /// <summary>Where keys are gathered for their principal components as well; null for nowhere.</summary>
    public KeyCovariance? Keys { get; init; }

    /// <summary>Adds one window of text to <paramref name="target"/>. Every window starts a fresh sequence.</summary>
    /// <param name="target">Sums over all tokens.</param>
    /// <param name="window">Ids.</param>
    /// <param name="sample">Keeps keys, and the queries at <paramref name="positions"/>.</param>
    /// <param name="positions">Positions of the window.</param>
    /// <param name="cancellation">Looked at between chunks.</param>
    /// <exception cref="ArgumentException">The window is empty or does not fit the cache.</exception>
    public void Gather(ChannelStatistics target, ReadOnlySpan<int> window, CalibrationSample? sample = null, IEnumerable<int>? positions = null, CancellationToken cancellation = default)
    {
        if (window.Length > _decoder.Cache.Capacity)
            throw new ArgumentException($"a window of {window.Length:N0} tokens does not fit the cache of {_decoder.Cache.Capacity:N0}", nameof(window));
        using CacheSequence sequence = _decoder.NewSequence();
        using var passing = new PassingRows(_decoder.Backend, _decoder.Config, LlamaDecoder.MaxRows(_decoder.Options), PartRows);
        _target = target;
        _sample = sample;
        sample?.Begin(window.Length, positions ?? []);
        _decoder.Observer = (layer, batch, q, k) => Observe(passing, layer, batch, q, k);
        try
        {
            _decoder.Prefill(sequence, window, null, cancellation);
        }
        finally
        {
            _decoder.Observer = null;
        }
    }

    private void Observe(PassingRows passing, int layer, StepBatch batch, DeviceSpan q, DeviceSpan k)
    {
        int rows = batch.Rows, start = batch.HostPositions[0];
        var sums = passing.Sums(rows, q, k, before: 0);
        if (sums.IsEmpty || Keys is not null) passing.BringKeys(rows, k);
        else if (_sample is not null) passing.BringKeys(_sample.KeyRows(start, rows), k);
        if (sums.IsEmpty) passing.BringQueries(rows, q);
        else if (_sample is not null) passing.BringQueries(_sample.QueryRows(start, rows), q);
        if (sums.IsEmpty) _target!.Add(layer, rows, passing.Queries, passing.Keys);
        else _target!.AddParts(layer, rows, sums);
        Keys?.Add(layer, rows, passing.Keys);
        _sample?.Add(layer, start, rows, passing.Queries, passing.Keys);
    }
}
