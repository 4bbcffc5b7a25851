namespace IlgpuSparse.Calibration;

/// <summary>
/// Moves the directions of one (layer, kv head) to where few bits tell most of the attention: gradient descent on the divergence of the attention weights by label scores from the true ones, through the quantiser that decoding
/// uses; its rounding passes gradients on as if it were not there. Labels of all sizes that are searched for have their turn, since one basis serves them all.
/// </summary>
/// <remarks>
/// The closed form that it starts from (<see cref="BasisFit"/>) minimises the square error of all logits, of which most belong to keys that nobody attends to. The divergence weighs what is attended to, so that a label of few
/// bits spends them there. Bits stay dealt out as they were.
/// </remarks>
internal sealed class BasisTraining
{
    // Query heads of a step, and most queries of a window that are looked at.
    private const int Batch = 24;
    private const int MostQueries = 64;

    // Of the size of a direction, how far a step moves it at first; falls to 0 along a cosine.
    private const double Rate = 0.0025;

    // Adam's.
    private const double Momentum = 0.9, Spread = 0.99;

    private readonly int _d;
    private readonly float _scale;
    private readonly float[] _keyMean, _keySize, _querySize;
    private readonly List<Window>[] _texts;
    private readonly IReadOnlyList<double> _shares;
    private readonly Random _random = new(1); // the same for every head and number of threads

    /// <summary>Computes the true attention of <paramref name="texts"/>, windows by kind of text, each kind looked at as often as its share says.</summary>
    public BasisTraining(IReadOnlyList<IReadOnlyList<HeadWindow>> texts, IReadOnlyList<double> shares, int headDim)
    {
        (_d, _shares) = (headDim, shares);
        _scale = 1 / MathF.Sqrt(headDim);
        // directions move in units in which all channels are alike
        (_keyMean, _keySize) = Moments(texts.SelectMany(t => t).Select(w => w.Keys), centred: true);
        (_, _querySize) = Moments(texts.SelectMany(t => t).Select(w => w.Queries), centred: false);
        _texts = [.. texts.Select(text => text.Where(w => w.Visible.Length > 0).Select(Prepare).ToList())];
    }

    /// <summary><paramref name="basis"/> after <paramref name="steps"/>, for labels of <paramref name="sizes"/> bits.</summary>
    public LabelBasis Run(LabelBasis basis, IReadOnlyList<int> sizes, int steps, CancellationToken cancellation)
    {
        if (_texts.All(t => t.Count == 0)) return basis;
        int count = basis.Count;
        int[][] bits = [.. sizes.Where(s => s <= BitAllocation.MostBits * count).Select(s => BitAllocation.Fill([.. basis.Weight.Select(w => (double)w)], s))];
        if (bits.Length == 0) return basis;
        Direction[] directions = [.. Enumerable.Range(0, count).Select(n => Open(basis, n))];
        for (int step = 0; step < steps; step++)
        {
            cancellation.ThrowIfCancellationRequested();
            Step(directions, bits[step % bits.Length], Draw(), Rate * 0.5 * (1 + Math.Cos(Math.PI * step / steps)));
        }
        return Close(basis, directions);
    }

    private Window Draw()
    {
        double drawn = _random.NextDouble();
        int text = 0;
        while (text < _texts.Length - 1 && drawn >= _shares[text]) drawn -= _shares[text++];
        while (_texts[text].Count == 0) text = (text + 1) % _texts.Length;
        return _texts[text][_random.Next(_texts[text].Count)];
    }

    private void Step(Direction[] directions, int[] bits, Window window, double rate)
    {
        var active = directions.Zip(bits).Where(x => x.Second > 0).ToList();
        var codes = active.Select(x => Quantise(x.First, x.Second, window)).ToList();
        float[][] errors = [.. codes.Select(_ => new float[window.Count])];
        foreach (var (direction, _) in active) Array.Clear(direction.QueryGradient);
        int batch = Math.Min(Batch, window.Asked.Count);
        var weights = new float[codes.Count];
        var room = new float[window.Count];
        for (int i = 0; i < batch; i++)
        {
            var (query, truth) = window.Asked[_random.Next(window.Asked.Count)];
            var scores = room.AsSpan(0, truth.Length);
            scores.Clear();
            for (int n = 0; n < weights.Length; n++)
            {
                weights[n] = _scale * VectorMath.Dot(active[n].First.Query, query);
                VectorMath.AddScaled(weights[n], codes[n].Values.AsSpan(0, scores.Length), scores);
            }
            VectorMath.SoftMax(scores);
            // the derivative of the divergence by the scores
            for (int j = 0; j < scores.Length; j++) scores[j] = (scores[j] - truth[j]) / batch;
            for (int n = 0; n < weights.Length; n++)
            {
                VectorMath.AddScaled(weights[n], scores, errors[n].AsSpan(0, scores.Length));
                VectorMath.AddScaled(_scale * VectorMath.Dot(scores, codes[n].Values.AsSpan(0, scores.Length)), query, active[n].First.QueryGradient);
            }
        }
        for (int n = 0; n < active.Count; n++)
        {
            var direction = active[n].First;
            Array.Clear(direction.KeyGradient);
            float offset = 0;
            for (int t = 0; t < window.Count; t++)
            {
                float error = errors[n][t];
                if (error == 0 || !codes[n].Inside[t]) continue;
                VectorMath.AddScaled(error, window.Keys.AsSpan(t * _d, _d), direction.KeyGradient);
                offset -= error;
            }
            direction.Move(rate, offset);
        }
    }

    // Values as labels keep them, and which of them lie where the quantiser reaches: there a value can be moved.
    private (float[] Values, bool[] Inside) Quantise(Direction direction, int bits, Window window)
    {
        float step = BitAllocation.Step(bits), top = (1 << bits) - 1;
        var values = new float[window.Count];
        var inside = new bool[window.Count];
        for (int t = 0; t < values.Length; t++)
        {
            float place = (VectorMath.Dot(direction.Key, window.Keys.AsSpan(t * _d, _d)) - direction.Offset) / step + top / 2;
            inside[t] = place > -0.5f && place < top + 0.5f;
            values[t] = step * (MathF.Round(Math.Clamp(place, 0, top)) - top / 2);
        }
        return (values, inside);
    }

    // In units of the deviation that the quantiser has.
    private Direction Open(LabelBasis basis, int index)
    {
        float deviation = Math.Max(basis.Deviation[index], 1e-6f);
        float[] key = basis.Key(index), query = basis.Query(index);
        double offset = basis.Mean[index];
        for (int c = 0; c < _d; c++)
        {
            offset -= key[c] * _keyMean[c];
            key[c] *= _keySize[c] / deviation;
            query[c] *= _querySize[c] * deviation;
        }
        return new Direction(key, query, (float)(offset / deviation));
    }

    private LabelBasis Close(LabelBasis basis, Direction[] directions)
    {
        var offsets = new float[directions.Length];
        for (int n = 0; n < offsets.Length; n++)
        {
            float deviation = Math.Max(basis.Deviation[n], 1e-6f);
            double offset = directions[n].Offset * deviation;
            for (int c = 0; c < _d; c++)
            {
                directions[n].Key[c] *= deviation / _keySize[c];
                directions[n].Query[c] /= deviation * _querySize[c];
                offset += directions[n].Key[c] * _keyMean[c];
            }
            offsets[n] = (float)offset;
        }
        return basis with { Mean = offsets, Keys = LabelBasis.Pack(directions.Select(x => x.Key)), Queries = LabelBasis.Pack(directions.Select(x => x.Query)) };
    }

    private Window Prepare(HeadWindow window)
    {
        int queries = window.Visible.Length, group = window.Queries.Length / _d / queries, taken = Math.Min(MostQueries, queries);
        var keys = new float[window.Count * _d];
        for (int i = 0; i < keys.Length; i++) keys[i] = (window.Keys[i] - _keyMean[i % _d]) / _keySize[i % _d];
        var asked = new List<(float[], float[])>();
        for (int n = 0; n < taken; n++)
        {
            int at = (int)((long)n * queries / taken);
            for (int g = 0; g < group; g++)
            {
                var query = window.Queries.AsSpan((at * group + g) * _d, _d);
                var truth = new float[window.Visible[at]];
                for (int j = 0; j < truth.Length; j++) truth[j] = _scale * VectorMath.Dot(query, window.Keys.AsSpan(j * _d, _d));
                VectorMath.SoftMax(truth);
                float[] own = query.ToArray();
                for (int c = 0; c < _d; c++) own[c] /= _querySize[c];
                asked.Add((own, truth));
            }
        }
        return new Window(window.Count, keys, asked);
    }

    private (float[] Mean, float[] Size) Moments(IEnumerable<float[]> parts, bool centred)
    {
        double[] sum = new double[_d], square = new double[_d];
        long rows = 0;
        foreach (float[] part in parts)
        {
            for (int i = 0; i < part.Length; i++)
            {
                sum[i % _d] += part[i];
                square[i % _d] += (double)part[i] * part[i];
            }
            rows += part.Length / _d;
        }
        var mean = sum.Select(x => centred ? x / rows : 0).ToArray();
        return ([.. mean.Select(x => (float)x)], [.. square.Select((x, c) => (float)Math.Sqrt(Math.Max(x / rows - mean[c] * mean[c], 1e-12)))]);
    }

    private sealed record Window(int Count, float[] Keys, List<(float[] Query, float[] Truth)> Asked);

    /// <summary>A direction of keys and queries, and the offset of its quantiser.</summary>
    private sealed class Direction(float[] key, float[] query, float offset)
    {
        private readonly double _keySize = RootMeanSquare(key), _querySize = RootMeanSquare(query);
        private readonly double[] _first = new double[key.Length + query.Length + 1], _second = new double[key.Length + query.Length + 1];
        private double _firstShare, _secondShare;
        private int _steps;

        public float[] Key => key;
        public float[] Query => query;
        public float Offset => offset;
        public float[] KeyGradient { get; } = new float[key.Length];
        public float[] QueryGradient { get; } = new float[query.Length];

        /// <summary>A step of Adam, as large as the direction is.</summary>
        public void Move(double rate, float offsetGradient)
        {
            _steps++;
            (_firstShare, _secondShare) = (1 - Math.Pow(Momentum, _steps), 1 - Math.Pow(Spread, _steps));
            for (int c = 0; c < key.Length; c++)
            {
                key[c] -= (float)(rate * _keySize * Towards(c, KeyGradient[c]));
                query[c] -= (float)(rate * _querySize * Towards(key.Length + c, QueryGradient[c]));
            }
            offset -= (float)(rate * Towards(2 * key.Length, offsetGradient));
        }

        private double Towards(int at, double gradient)
        {
            _first[at] = Momentum * _first[at] + (1 - Momentum) * gradient;
            _second[at] = Spread * _second[at] + (1 - Spread) * gradient * gradient;
            return _first[at] / _firstShare / (Math.Sqrt(_second[at] / _secondShare) + 1e-12);
        }

        private static double RootMeanSquare(float[] values) => Math.Sqrt(values.Average(x => (double)x * x));
    }
}
