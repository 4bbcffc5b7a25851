using IlgpuSparse.Model;

namespace IlgpuSparse.Calibration;

/// <summary>
/// What a channel map is made of, gathered from one text as it goes through the model, in bounded memory: sums over its keys and queries, and a sample of its queries; the keys themselves stay in the cache. A text knows how far
/// it has drifted from what its last map rests on.
/// </summary>
/// <remarks>
/// Channels that tell one key from another hardly vary in most of a text, and what a question will look for may be one sentence of it. So each stretch of <see cref="SegmentTokens"/> tokens is ranked by itself, as offline
/// calibration ranks each kind of text, and a channel counts as much as the stretch that needs it most; bits are dealt out by the square root, the share of the deviation instead of the variance, since no stretch says all
/// that may be asked. With a prior, a map that knows what is asked elsewhere, a channel counts as much as the text or the prior says, as it is (docs/numbers/evaluation.md has it with and without each).
/// </remarks>
internal sealed class OnlineCalibration
{
    /// <summary>Queries that are kept, for directions.</summary>
    public const int MostQueries = 256;

    /// <summary>Keys that directions are fitted to, evenly spaced.</summary>
    public const int MostKeys = 4096;

    /// <summary>Tokens of a stretch.</summary>
    public const int SegmentTokens = 64;

    private readonly LlamaConfig _config;
    private readonly ChannelMap? _prior;
    private readonly ChannelStatistics _whole; // of the stretches that are over
    private readonly ChannelStatistics _segment;
    private readonly float[][][] _scores; // [layer][kvHead][channel], the largest of these stretches
    private readonly float[][][] _profile, _mappedProfile; // sums of the shares of these stretches, since the map and before
    private readonly QuerySample _queries;
    private readonly long[] _stretches; // by layer, since the map
    private ChannelStatistics? _mapped;

    /// <summary>Starts empty, with a map of the model that has scores or without.</summary>
    public OnlineCalibration(LlamaConfig config, ChannelMap? prior)
    {
        (_config, _prior) = (config, prior);
        _whole = new ChannelStatistics(config);
        _segment = new ChannelStatistics(config);
        (_scores, _profile, _mappedProfile) = (New(), New(), New());
        _stretches = new long[config.Layers];
        _queries = new QuerySample(config, MostQueries);
        float[][][] New() => [.. Enumerable.Range(0, config.Layers).Select(_ => Enumerable.Range(0, config.KvHeads).Select(_ => new float[config.HeadDim]).ToArray())];
    }

    private OnlineCalibration(OnlineCalibration other)
    {
        (_config, _prior, _whole, _segment, _queries, _mapped) = (other._config, other._prior, other._whole.Copy(), other._segment.Copy(), other._queries.Copy(), other._mapped);
        (_scores, _profile, _mappedProfile, _stretches) = (Copy(other._scores), Copy(other._profile), Copy(other._mappedProfile), (long[])other._stretches.Clone());
    }

    /// <summary>Bytes on the host that a text takes, a mark of it not counted.</summary>
    public static long Bytes(LlamaConfig config) => 3 * ChannelStatistics.Bytes(config) + 3L * sizeof(float) * config.Layers * config.KvHeads * config.HeadDim + QuerySample.Bytes(config, MostQueries);

    /// <summary>Tokens counted.</summary>
    public long Tokens => _whole.Tokens + _segment.Tokens;

    /// <summary>The queries.</summary>
    public QuerySample Queries => _queries;

    /// <summary>A copy, to come back to.</summary>
    public OnlineCalibration Copy() => new(this);

    /// <summary>Before the layers of a pass of <paramref name="rows"/> tokens from <paramref name="start"/> on.</summary>
    public void Begin(int start, int rows) => _queries.Begin(start, rows);

    /// <summary>Counts in <paramref name="rows"/> tokens of <paramref name="layer"/>: queries <c>[row, head, headDim]</c> and keys <c>[row, kvHead, headDim]</c>, after RoPE.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="rows">Tokens.</param>
    /// <param name="q">Queries.</param>
    /// <param name="k">Keys.</param>
    /// <param name="sampled">Whether they are those that <see cref="Begin"/> told of.</param>
    public void Add(int layer, int rows, ReadOnlySpan<float> q, ReadOnlySpan<float> k, bool sampled)
    {
        if (sampled) _queries.Add(layer, q);
        int queryWidth = _config.Heads * _config.HeadDim, keyWidth = _config.KvHeads * _config.HeadDim;
        for (int row = 0; row < rows;)
        {
            int count = Math.Min(rows - row, SegmentTokens - Begun(layer));
            _segment.Add(layer, count, q.Slice(row * queryWidth, count * queryWidth), k.Slice(row * keyWidth, count * keyWidth));
            row += count;
            CloseFull(layer);
        }
    }

    /// <summary>Tokens of the stretch that the next tokens of <paramref name="layer"/> go on with.</summary>
    public int Begun(int layer) => (int)_segment.TokensOf(layer);

    /// <summary>As <see cref="Add"/>, of sums that a device has made of each stretch, <c>[stretch, sum, kvHead, headDim]</c>, the first of which had <see cref="Begun"/>. Of <paramref name="q"/> only what <see cref="Queries"/> keeps is read.</summary>
    public void AddParts(int layer, int rows, ReadOnlySpan<float> parts, ReadOnlySpan<float> q, bool sampled)
    {
        if (sampled) _queries.Add(layer, q);
        int width = (int)ChannelStatistics.PartFloats(1, _config.KvHeads, _config.HeadDim);
        for (int row = 0; row < rows;)
        {
            int count = Math.Min(rows - row, SegmentTokens - Begun(layer));
            _segment.AddParts(layer, count, parts[..width]);
            parts = parts[width..];
            row += count;
            CloseFull(layer);
        }
    }

    // A stretch that is over, and a new one.
    private void CloseFull(int layer)
    {
        if (Begun(layer) < SegmentTokens) return;
        Raise(_scores, layer);
        for (int head = 0; head < _config.KvHeads; head++)
        {
            var shares = new float[_config.HeadDim];
            _segment.RaiseScores(layer, head, CalibrationStatistic.Variance, shares);
            VectorMath.AddScaled(1f, shares, _profile[layer][head]);
        }
        _stretches[layer]++;
        _whole.Take(_segment, layer);
    }

    /// <summary>How far the text is from what its last map rests on: 0 for not at all, 1 for nothing in common. The larger of the <see cref="DriftParts"/>.</summary>
    public double Drift()
    {
        var (elsewhere, moved) = DriftParts();
        return Math.Max(elsewhere, moved);
    }

    /// <summary>
    /// Two means over all heads. <c>Elsewhere</c>: half the sum of the differences between the channels' shares of E[q²]·Var(k) in the stretches since the map and in those before, each an average over stretches of the same length,
    /// times n/(n + 2) for n stretches, since few of them say little. <c>Moved</c>: by how many deviations, at most 1, the means of the keys of all tokens have moved since, weighted by these shares.
    /// </summary>
    public (double Elsewhere, double Moved) DriftParts()
    {
        if (_mapped is null) return (1, 1);
        var all = _whole.Copy();
        var rest = _segment.Copy();
        double elsewhere = 0, moved = 0;
        for (int layer = 0; layer < _config.Layers; layer++)
        {
            all.Take(rest, layer);
            double certain = _stretches[layer] / (_stretches[layer] + 2.0);
            for (int head = 0; head < _config.KvHeads; head++)
            {
                float[] since = _profile[layer][head], before = _mappedProfile[layer][head];
                double sum = Math.Max(since.Sum(), 1e-30), sumBefore = Math.Max(before.Sum(), 1e-30);
                for (int c = 0; c < since.Length; c++)
                {
                    if (_stretches[layer] > 0) elsewhere += certain * Math.Abs(since[c] / sum - before[c] / sumBefore) / 2;
                    var (mean, variance) = all.Moments(layer, head * since.Length + c);
                    var (meanBefore, varianceBefore) = _mapped.Moments(layer, head * since.Length + c);
                    double deviation = Math.Sqrt(Math.Max(variance, varianceBefore));
                    if (deviation > 0) moved += before[c] / sumBefore * Math.Min(1, Math.Abs(mean - meanBefore) / deviation);
                }
            }
        }
        return (elsewhere / (_config.Layers * _config.KvHeads), moved / (_config.Layers * _config.KvHeads));
    }

    /// <summary>The map of the text so far.</summary>
    /// <param name="keys">Evenly spaced keys <c>[key, headDim]</c> of a (layer, kv head); asked for by several threads.</param>
    /// <param name="stride">How many tokens apart they are.</param>
    /// <param name="directions">Whether directions, and what tokens bring each head, are wanted.</param>
    public ChannelMap Map(Func<int, int, float[]> keys, int stride, bool directions)
    {
        var (scores, all) = Now();
        _mapped = all;
        // the stretches of a map are those of the map before it, too: all that its text has
        for (int layer = 0; layer < _config.Layers; layer++)
        {
            for (int head = 0; head < _config.KvHeads; head++)
            {
                VectorMath.AddScaled(1f, _profile[layer][head], _mappedProfile[layer][head]);
                Array.Clear(_profile[layer][head]);
            }
            _stretches[layer] = 0;
        }
        var heads = new HeadChannels[_config.Layers][];
        for (int layer = 0; layer < heads.Length; layer++) heads[layer] = [.. Enumerable.Range(0, _config.KvHeads).Select(head => Channels(layer, head, scores[layer][head], all))];
        var map = new ChannelMap("text", "online", _config.HeadDim, _config.RopeStyle, null, heads);
        if (!directions) return map;
        int[] visible = [.. _queries.Positions.Select(p => p / stride + 1)];
        IReadOnlyList<HeadWindow> Window(int layer, int kvHead)
        {
            float[] rows = keys(layer, kvHead);
            return [new HeadWindow(rows.Length / _config.HeadDim, rows, _queries.Head(layer, kvHead), visible)];
        }
        return new LabelFit(_config, [Window], [1]).Run(map, search: false);
    }

    private HeadChannels Channels(int layer, int head, float[] scores, ChannelStatistics all)
    {
        int d = _config.HeadDim;
        var moments = Enumerable.Range(0, d).Select(c => all.Moments(layer, head * d + c)).ToList();
        return new HeadChannels([.. Enumerable.Range(0, d).OrderByDescending(c => scores[c]).ThenBy(c => c)], scores, [.. moments.Select(m => (float)m.Mean)], [.. moments.Select(m => (float)Math.Sqrt(m.Variance))]);
    }

    // What channels count, and the sums of all tokens. A stretch that is not over counts from its half on, or when it is the first.
    private (float[][][] Scores, ChannelStatistics All) Now()
    {
        float[][][] scores = Copy(_scores);
        var all = _whole.Copy();
        var rest = _segment.Copy();
        for (int layer = 0; layer < _config.Layers; layer++)
        {
            if (2 * rest.TokensOf(layer) >= SegmentTokens || all.TokensOf(layer) == 0) Raise(scores, layer);
            all.Take(rest, layer);
            for (int head = 0; head < _config.KvHeads; head++)
            {
                float[] own = scores[layer][head];
                if (_prior is null)
                {
                    for (int c = 0; c < own.Length; c++) own[c] = MathF.Sqrt(own[c]);
                    continue;
                }
                for (int c = 0; c < own.Length; c++) own[c] = _prior[layer, head].Scores![c];
                all.RaiseScores(layer, head, CalibrationStatistic.Variance, own);
            }
        }
        return (scores, all);
    }

    private void Raise(float[][][] scores, int layer)
    {
        for (int head = 0; head < _config.KvHeads; head++) _segment.RaiseScores(layer, head, CalibrationStatistic.Variance, scores[layer][head]);
    }

    private static float[][][] Copy(float[][][] scores) => [.. scores.Select(l => l.Select(h => (float[])h.Clone()).ToArray())];
}
