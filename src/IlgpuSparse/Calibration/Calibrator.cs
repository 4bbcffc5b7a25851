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
    private DeviceBuffer? _parts;

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
        int kvHeads = _decoder.Config.KvHeads, headDim = _decoder.Config.HeadDim;
        using var parts = _decoder.Backend.Allocate(sizeof(float) * ChannelStatistics.PartFloats(ChannelStatistics.Parts(_decoder.Options.PrefillChunk), kvHeads, headDim), "calibration");
        _parts = parts;
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
            _parts = null;
        }
    }

    private void Observe(int layer, StepBatch batch, DeviceSpan q, DeviceSpan k)
    {
        var c = _decoder.Config;
        int rows = batch.Rows, queryWidth = c.Heads * c.HeadDim, keyWidth = c.KvHeads * c.HeadDim;
        var queries = _q.AsSpan(0, rows * queryWidth);
        var keys = _k.AsSpan(0, rows * keyWidth);
        if (_decoder.Backend.TrySumChannels(new AttentionShape(c.Heads, c.KvHeads, c.HeadDim), rows, q, k, _parts!))
        {
            _target!.AddParts(layer, rows, ((DeviceSpan)_parts!).ToArray<float>((int)ChannelStatistics.PartFloats(ChannelStatistics.Parts(rows), c.KvHeads, c.HeadDim)));
            // of the rows themselves what is kept, no more
            if (Keys is not null) k.Download(keys);
            else if (_sample is not null) Fetch(k, _sample.KeyRows(batch.HostPositions[0], rows), keyWidth, keys);
            if (_sample is not null) Fetch(q, _sample.QueryRows(batch.HostPositions[0], rows), queryWidth, queries);
        }
        else
        {
            q.Download(queries);
            k.Download(keys);
            _target!.Add(layer, rows, queries, keys);
        }
        Keys?.Add(layer, rows, keys);
        _sample?.Add(layer, batch.HostPositions[0], rows, queries, keys);
    }

    // Rows that follow one another at once.
    private static void Fetch(DeviceSpan source, IEnumerable<int> rows, int width, Span<float> target)
    {
        int first = 0, end = 0;
        foreach (int row in rows.Append(-1))
        {
            if (row != end || row < 0)
            {
                if (end > first) source.SkipFloats((long)first * width).Download(target[(first * width)..(end * width)]);
                first = row;
            }
            end = row + 1;
        }
    }
}
