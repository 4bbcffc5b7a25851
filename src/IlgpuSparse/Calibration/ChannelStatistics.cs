using System.Numerics;
using IlgpuSparse.Model;

namespace IlgpuSparse.Calibration;

/// <summary>
/// Sums over the tokens of one kind of text, for every (layer, kv head, channel), in double precision. Several of them, one a kind of text, make a <see cref="ChannelMap"/>:
/// what the text contains decides which channels survive, so each kind is ranked by itself and a channel counts as much as the kind that needs it most.
/// </summary>
public sealed class ChannelStatistics
{
    /// <summary>Sums of a channel: of keys, their squares and sizes, squares and sizes of queries, sizes of the products of both.</summary>
    internal const int Kinds = 6;

    private readonly LlamaConfig _config;
    private readonly Sums[] _layers;

    /// <summary>Starts empty.</summary>
    public ChannelStatistics(LlamaConfig config)
    {
        _config = config;
        _layers = new Sums[config.Layers];
        for (int i = 0; i < _layers.Length; i++) _layers[i] = new Sums(config.KvHeads * config.HeadDim);
    }

    private ChannelStatistics(ChannelStatistics other)
    {
        _config = other._config;
        _layers = [.. other._layers.Select(l => l.Copy())];
    }

    /// <summary>Tokens seen by the first layer.</summary>
    public long Tokens => _layers[0].Tokens;

    /// <summary>Bytes that one takes.</summary>
    internal static long Bytes(LlamaConfig config) => (long)Kinds * sizeof(double) * config.Layers * config.KvHeads * config.HeadDim;

    /// <summary>Parts of <paramref name="partRows"/> tokens that <paramref name="rows"/> are, where the first one began <paramref name="before"/> tokens earlier.</summary>
    internal static int Parts(int rows, int partRows, int before) => (before + rows + partRows - 1) / partRows;

    /// <summary>Floats of the sums of <paramref name="parts"/> parts.</summary>
    internal static long PartFloats(int parts, int kvHeads, int headDim) => (long)parts * Kinds * kvHeads * headDim;

    /// <summary>A copy.</summary>
    internal ChannelStatistics Copy() => new(this);

    /// <summary>Tokens seen by <paramref name="layer"/>.</summary>
    internal long TokensOf(int layer) => _layers[layer].Tokens;

    /// <summary>Takes the sums of <paramref name="layer"/> over from <paramref name="other"/>, which begins anew.</summary>
    internal void Take(ChannelStatistics other, int layer)
    {
        _layers[layer].Add(other._layers[layer]);
        other._layers[layer] = new Sums(_config.KvHeads * _config.HeadDim);
    }

    /// <summary>Mean and variance of the keys, of <c>[kvHead, headDim]</c> entry <paramref name="channel"/>.</summary>
    internal (double Mean, double Variance) Moments(int layer, int channel)
    {
        var sums = _layers[layer];
        double mean = sums.K[channel] / Math.Max(1, sums.Tokens);
        return (mean, Math.Max(0, sums.KSquare[channel] / Math.Max(1, sums.Tokens) - mean * mean));
    }

    /// <summary>Adds <paramref name="rows"/> tokens of <paramref name="layer"/>: queries <c>[row, head, headDim]</c> and keys <c>[row, kvHead, headDim]</c>, both after RoPE.</summary>
    public void Add(int layer, int rows, ReadOnlySpan<float> q, ReadOnlySpan<float> k)
    {
        int d = _config.HeadDim, group = _config.GroupSize;
        var sums = _layers[layer];
        for (int row = 0; row < rows; row++)
        {
            for (int head = 0; head < _config.KvHeads; head++)
            {
                var keys = k.Slice((row * _config.KvHeads + head) * d, d);
                var queries = q.Slice((row * _config.Heads + head * group) * d, group * d);
                int c = sums.Add(head * d, keys, queries);
                for (; c < d; c++)
                {
                    double key = keys[c], square = 0, absolute = 0;
                    for (int g = 0; g < group; g++)
                    {
                        double x = queries[g * d + c];
                        square += x * x;
                        absolute += Math.Abs(x);
                    }
                    int i = head * d + c;
                    sums.K[i] += key;
                    sums.KSquare[i] += key * key;
                    sums.KAbsolute[i] += Math.Abs(key);
                    sums.QSquare[i] += square;
                    sums.QAbsolute[i] += absolute;
                    sums.QkAbsolute[i] += absolute * Math.Abs(key);
                }
            }
        }
        sums.Tokens += rows;
    }

    /// <summary>Adds <paramref name="rows"/> tokens of <paramref name="layer"/> whose sums <paramref name="parts"/> <c>[part, sum, kvHead, headDim]</c> a device has made: <see cref="Compute.ComputeBackend.TrySumChannels"/>.</summary>
    internal void AddParts(int layer, int rows, ReadOnlySpan<float> parts)
    {
        var sums = _layers[layer];
        double[][] all = sums.All;
        int width = sums.K.Length;
        for (int start = 0; start < parts.Length; start += width)
        {
            double[] target = all[start / width % Kinds];
            var source = parts.Slice(start, width);
            for (int i = 0; i < width; i++) target[i] += source[i];
        }
        sums.Tokens += rows;
    }

    /// <summary>
    /// Ranks the channels by <paramref name="statistic"/>: the value of each text is divided by its sum over the head's channels, and the largest over the texts counts. Mean and
    /// deviation of the keys are those of all texts together, each text weighing the same.
    /// </summary>
    /// <param name="texts">Statistics of the kinds of text, each with at least two tokens.</param>
    /// <param name="statistic">What to rank by.</param>
    /// <param name="fingerprint">The model's <see cref="ModelFile.Fingerprint"/>; null where it is unknown.</param>
    /// <exception cref="ArgumentException">No texts, or one that is too short.</exception>
    public static ChannelMap Rank(IReadOnlyList<ChannelStatistics> texts, CalibrationStatistic statistic, string? fingerprint)
    {
        if (texts.Count == 0 || texts.Any(t => t.Tokens < 2)) throw new ArgumentException("calibration needs at least two tokens of every kind of text", nameof(texts));
        var config = texts[0]._config;
        int d = config.HeadDim;
        var heads = new HeadChannels[config.Layers][];
        for (int layer = 0; layer < config.Layers; layer++)
        {
            heads[layer] = new HeadChannels[config.KvHeads];
            for (int head = 0; head < config.KvHeads; head++)
            {
                var scores = new float[d];
                var mean = new float[d];
                var deviation = new float[d];
                foreach (var text in texts) text.RaiseScores(layer, head, statistic, scores);
                for (int c = 0; c < d; c++)
                {
                    int i = head * d + c;
                    double m = texts.Average(t => t._layers[layer].K[i] / t._layers[layer].Tokens);
                    double square = texts.Average(t => t._layers[layer].KSquare[i] / t._layers[layer].Tokens);
                    mean[c] = (float)m;
                    deviation[c] = (float)Math.Sqrt(Math.Max(0, square - m * m));
                }
                // a stable sort: equal channels keep their order, so the map does not depend on the machine
                int[] ranking = [.. Enumerable.Range(0, d).OrderByDescending(c => scores[c]).ThenBy(c => c)];
                heads[layer][head] = new HeadChannels(ranking, scores, mean, deviation);
            }
        }
        return new ChannelMap("calibration", statistic.ToString().ToLowerInvariant(), d, config.RopeStyle, fingerprint, heads);
    }

    /// <summary>Raises <paramref name="scores"/> by channel to what these tokens say: the statistic divided by its sum over the head's channels.</summary>
    internal void RaiseScores(int layer, int head, CalibrationStatistic statistic, float[] scores)
    {
        var sums = _layers[layer];
        int d = _config.HeadDim;
        var values = new double[d];
        for (int c = 0; c < d; c++)
        {
            int i = head * d + c;
            double mean = sums.K[i] / sums.Tokens;
            values[c] = statistic switch
            {
                CalibrationStatistic.Qk => sums.QkAbsolute[i],
                CalibrationStatistic.QkLayer => Enumerable.Range(0, _config.KvHeads).Sum(h => sums.QkAbsolute[h * d + c]),
                CalibrationStatistic.Q => sums.QAbsolute[i],
                CalibrationStatistic.K => sums.KAbsolute[i],
                CalibrationStatistic.Variance => sums.QSquare[i] / sums.Tokens * Math.Max(0, sums.KSquare[i] / sums.Tokens - mean * mean),
                _ => throw new ArgumentOutOfRangeException(nameof(statistic), statistic, null),
            };
        }
        double total = values.Sum();
        if (total <= 0) return;
        for (int c = 0; c < d; c++) scores[c] = Math.Max(scores[c], (float)(values[c] / total));
    }

    /// <summary>Sums of one layer, each <c>[kvHead, headDim]</c>.</summary>
    private sealed class Sums(int size)
    {
        public long Tokens;
        public readonly double[] K = new double[size];
        public readonly double[] KSquare = new double[size];
        public readonly double[] KAbsolute = new double[size];
        public readonly double[] QSquare = new double[size];
        public readonly double[] QAbsolute = new double[size];
        public readonly double[] QkAbsolute = new double[size];

        /// <summary>In the order in which a device has them.</summary>
        public double[][] All => [K, KSquare, KAbsolute, QSquare, QAbsolute, QkAbsolute];

        public Sums Copy()
        {
            var copy = new Sums(K.Length);
            copy.Add(this);
            return copy;
        }

        /// <summary>Adds a key and the queries of its group, whole vectors at a time; returns how many channels that were.</summary>
        public int Add(int offset, ReadOnlySpan<float> key, ReadOnlySpan<float> queries)
        {
            int c = 0, d = key.Length;
            for (; c <= d - Vector<float>.Count; c += Vector<float>.Count)
            {
                Vector<double> squareLow = default, squareHigh = default, absoluteLow = default, absoluteHigh = default;
                for (int g = c; g < queries.Length; g += d)
                {
                    Vector.Widen(new Vector<float>(queries[g..]), out var low, out var high);
                    squareLow += low * low;
                    squareHigh += high * high;
                    absoluteLow += Vector.Abs(low);
                    absoluteHigh += Vector.Abs(high);
                }
                Vector.Widen(new Vector<float>(key[c..]), out var keyLow, out var keyHigh);
                Add(offset + c, keyLow, squareLow, absoluteLow);
                Add(offset + c + Vector<double>.Count, keyHigh, squareHigh, absoluteHigh);
            }
            return c;
        }

        private void Add(int i, Vector<double> key, Vector<double> square, Vector<double> absolute)
        {
            var magnitude = Vector.Abs(key);
            (new Vector<double>(K, i) + key).CopyTo(K, i);
            (new Vector<double>(KSquare, i) + key * key).CopyTo(KSquare, i);
            (new Vector<double>(KAbsolute, i) + magnitude).CopyTo(KAbsolute, i);
            (new Vector<double>(QSquare, i) + square).CopyTo(QSquare, i);
            (new Vector<double>(QAbsolute, i) + absolute).CopyTo(QAbsolute, i);
            (new Vector<double>(QkAbsolute, i) + absolute * magnitude).CopyTo(QkAbsolute, i);
        }

        public void Add(Sums other)
        {
            Tokens += other.Tokens;
            foreach (var (own, others) in All.Zip(other.All)) VectorMath.AddScaled(1.0, others, own);
        }
    }
}
