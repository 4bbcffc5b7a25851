using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;

namespace IlgpuSparse.Calibration;

/// <summary>Runs token windows through a dense decoder and gathers <see cref="ChannelStatistics"/> from the queries and keys that pass by.</summary>
public sealed class Calibrator
{
    private readonly LlamaDecoder _decoder;
    private readonly float[] _q;
    private readonly float[] _k;
    private ChannelStatistics? _target;
    private CalibrationSample? _sample;

    /// <summary>Uses <paramref name="decoder"/>, whose cache must hold the longest window.</summary>
    public Calibrator(LlamaDecoder decoder)
    {
        _decoder = decoder;
        int rows = Math.Max(decoder.Options.PrefillChunk, decoder.Options.MaxSequences);
        _q = new float[rows * decoder.Config.Heads * decoder.Config.HeadDim];
        _k = new float[rows * decoder.Config.KvHeads * decoder.Config.HeadDim];
    }

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
        _target = target;
        _sample = sample;
        sample?.Begin(window.Length, positions ?? []);
        _decoder.Observer = Observe;
        try
        {
            _decoder.Prefill(sequence, window, null, cancellation);
        }
        finally
        {
            _decoder.Observer = null;
        }
    }

    private void Observe(int layer, StepBatch batch, DeviceSpan q, DeviceSpan k)
    {
        var c = _decoder.Config;
        var queries = _q.AsSpan(0, batch.Rows * c.Heads * c.HeadDim);
        var keys = _k.AsSpan(0, batch.Rows * c.KvHeads * c.HeadDim);
        q.Download(queries);
        k.Download(keys);
        _target!.Add(layer, batch.Rows, queries, keys);
        Keys?.Add(layer, batch.Rows, keys);
        _sample?.Add(layer, batch.HostPositions[0], batch.Rows, queries, keys);
    }
}
