using IlgpuSparse.Model;

namespace IlgpuSparse.Calibration;

/// <summary>
/// Sums over the tokens of one kind of text, for every (layer, kv head, channel), in double precision. Several of them, one a kind of text, make a <see cref="ChannelMap"/>:
/// what the text contains decides which channels survive, so each kind is ranked by itself and a channel counts as much as the kind that needs it most.
/// </summary>
public sealed class ChannelStatistics
{
    private readonly LlamaConfig _config;
    private readonly Sums[] _layers;

    /// <summary>Starts empty.</summary>
    public ChannelStatistics(LlamaConfig config)
    {
        _config = config;
        _layers = new Sums[config.Layers];
        for (int i = 0; i < _layers.Length; i++) _layers[i] = new Sums(config.KvHeads * config.HeadDim);
    }

    /// <summary>Tokens seen by the first layer.</summary>
    public long Tokens => _layers[0].Tokens;

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
                for (int c = 0; c < d; c++)
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

    /// <summary>
    /// Ranks the channels by <paramref name="statistic"/>: the value of each text is divided by its sum over the head's channels, and the largest over the texts counts. Mean and
    /// deviation of the keys are those of all texts together, each text weighing the same.
    /// </summary>
    /// <param name="texts">Statistics of the kinds of text, each with at least two tokens.</param>
    /// <param name="statistic">What to rank by.</param>
    /// <param name="fingerprint">The model's <see cref="ModelFile.Fingerprint"/>.</param>
    /// <exception cref="ArgumentException">No texts, or one that is too short.</exception>
    public static ChannelMap Rank(IReadOnlyList<ChannelStatistics> texts, CalibrationStatistic statistic, string fingerprint)
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

    private void RaiseScores(int layer, int head, CalibrationStatistic statistic, float[] scores)
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
    }
}
