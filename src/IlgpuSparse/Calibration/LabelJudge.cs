namespace IlgpuSparse.Calibration;

/// <summary>
/// What the labels of one (layer, kv head) lose on kept keys and queries: the share of the attention mass that is not in the sets they choose, one set a group by the largest score of its heads, with the quantiser that decoding uses.
/// </summary>
internal sealed class LabelJudge
{
    private readonly List<Query> _queries = [];
    private readonly IReadOnlyList<double> _shares;
    private readonly int _texts;

    /// <summary>Computes the true attention.</summary>
    /// <param name="texts">Windows by kind of text.</param>
    /// <param name="headDim">Channels a head.</param>
    /// <param name="shares">Budgets, as shares of the visible keys.</param>
    /// <param name="queries">Most queries of a window.</param>
    public LabelJudge(IReadOnlyList<IReadOnlyList<HeadWindow>> texts, int headDim, IReadOnlyList<double> shares, int queries)
    {
        _shares = shares;
        _texts = texts.Count;
        float scale = 1 / MathF.Sqrt(headDim);
        for (int text = 0; text < texts.Count; text++)
        {
            foreach (var window in texts[text])
            {
                int count = window.Visible.Length, group = count == 0 ? 0 : window.Queries.Length / headDim / count;
                for (int n = 0; n < Math.Min(queries, count); n++)
                {
                    int query = (int)((long)n * count / Math.Min(queries, count)), visible = window.Visible[query];
                    var heads = new float[group][];
                    var masses = new float[group][];
                    for (int g = 0; g < group; g++)
                    {
                        heads[g] = window.Queries.AsSpan((query * group + g) * headDim, headDim).ToArray();
                        masses[g] = new float[visible];
                        for (int j = 0; j < visible; j++) masses[g][j] = scale * VectorMath.Dot(heads[g], window.Keys.AsSpan(j * headDim, headDim));
                    }
                    var best = new double[shares.Count];
                    var largest = Largest(masses, visible);
                    foreach (float[] mass in masses) VectorMath.SoftMax(mass);
                    var item = new Query(text, window, visible, heads, masses, best);
                    Held(item, largest, shares, best);
                    _queries.Add(item);
                }
            }
        }
    }

    /// <summary>Mass that the true scores' sets hold, <c>[text][budget]</c>.</summary>
    public double[][] Best() => Average(q => q.Best);

    /// <summary>Mass that the sets of a label with <paramref name="allocation"/> bits of <paramref name="codes"/> hold, <c>[text][budget]</c>.</summary>
    public double[][] Held(DirectionCodes codes, IReadOnlyList<int> allocation) => Held(codes, allocation, _shares);

    /// <summary>As <see cref="Held(DirectionCodes, IReadOnlyList{int})"/>, of other budgets.</summary>
    public double[][] Held(DirectionCodes codes, IReadOnlyList<int> allocation, IReadOnlyList<double> shares)
    {
        var scores = Scores(codes, allocation);
        var held = new double[_queries.Count][];
        for (int i = 0; i < held.Length; i++)
        {
            held[i] = new double[shares.Count];
            Held(_queries[i], Largest(scores[i], _queries[i].Visible), shares, held[i]);
        }
        int at = 0;
        return Average(_ => held[at++]);
    }

    /// <summary>
    /// Moves bits from one channel or direction to another as long as that lessens the lost mass, averaged over texts and budgets: coordinate search from <paramref name="start"/>. Tried are those to which the model of the error
    /// gives most and least.
    /// </summary>
    /// <param name="codes">What the bits are of.</param>
    /// <param name="start">Bits to begin with.</param>
    /// <param name="moves">Most bits that are moved.</param>
    public int[] Search(DirectionCodes codes, int[] start, int moves)
    {
        const int Tried = 4;
        int[] bits = [.. start];
        var scores = Scores(codes, bits);
        var columns = new Dictionary<(HeadWindow, int, int), float[]>();
        double held = Mean(Held(codes, bits));
        for (int move = 0; move < moves; move++)
        {
            int[] donors = [.. Enumerable.Range(0, bits.Length).Where(i => bits[i] > 0).OrderBy(i => codes.Weight[i] * (BitAllocation.Error(bits[i] - 1) - BitAllocation.Error(bits[i]))).Take(Tried)];
            int[] receivers = [.. Enumerable.Range(0, bits.Length).Where(i => bits[i] < BitAllocation.MostBits).OrderByDescending(i => codes.Weight[i] * (BitAllocation.Error(bits[i]) - BitAllocation.Error(bits[i] + 1))).Take(Tried)];
            (int From, int To) best = default;
            double most = held + 1e-6;
            foreach (int from in donors)
            {
                foreach (int to in receivers)
                {
                    if (from == to) continue;
                    double now = Moved(from, to);
                    if (now <= most) continue;
                    most = now;
                    best = (from, to);
                }
            }
            if (best.From == best.To) break;
            held = most;
            bits[best.From]--;
            bits[best.To]++;
            scores = Scores(codes, bits);
        }
        return bits;

        float[] Change(HeadWindow window, int index, int by)
        {
            if (columns.TryGetValue((window, index, bits[index] * 2 + by), out float[]? change)) return change;
            float[] column = codes.Column(window, index);
            float[] before = codes.Quantise(column, index, bits[index]), after = codes.Quantise(column, index, bits[index] + by);
            for (int t = 0; t < after.Length; t++) after[t] -= before[t];
            return columns[(window, index, bits[index] * 2 + by)] = after;
        }

        double Moved(int from, int to)
        {
            var result = Average((q, i) =>
            {
                float[] less = Change(q.Window, from, -1), more = Change(q.Window, to, 1);
                var moved = new float[q.Heads.Length][];
                for (int g = 0; g < moved.Length; g++)
                {
                    moved[g] = [.. scores[i][g]];
                    VectorMath.AddScaled(codes.Query(q.Heads[g], from), less.AsSpan(0, q.Visible), moved[g]);
                    VectorMath.AddScaled(codes.Query(q.Heads[g], to), more.AsSpan(0, q.Visible), moved[g]);
                }
                var held = new double[_shares.Count];
                Held(q, Largest(moved, q.Visible), _shares, held);
                return held;
            });
            return Mean(result);
        }
    }

    // [query][head of the group][key], without 1/√d: the order is the same
    private float[][][] Scores(DirectionCodes codes, IReadOnlyList<int> allocation)
    {
        var scores = new float[_queries.Count][][];
        for (int i = 0; i < scores.Length; i++) scores[i] = [.. _queries[i].Heads.Select(_ => new float[_queries[i].Visible])];
        foreach (var window in _queries.Select(q => q.Window).Distinct())
        {
            for (int n = 0; n < codes.Count; n++)
            {
                if (allocation[n] == 0) continue;
                float[] values = codes.Quantise(codes.Column(window, n), n, allocation[n]);
                for (int i = 0; i < scores.Length; i++)
                {
                    var query = _queries[i];
                    if (query.Window != window) continue;
                    for (int g = 0; g < query.Heads.Length; g++) VectorMath.AddScaled(codes.Query(query.Heads[g], n), values.AsSpan(0, query.Visible), scores[i][g]);
                }
            }
        }
        return scores;
    }

    private static double Mean(double[][] held) => held.Average(text => text.Average());

    private double[][] Average(Func<Query, double[]> of) => Average((q, _) => of(q));

    // every text counts the same
    private double[][] Average(Func<Query, int, double[]> of)
    {
        var sums = new double[_texts][];
        var counts = new int[_texts];
        for (int i = 0; i < _queries.Count; i++)
        {
            double[] held = of(_queries[i], i);
            var sum = sums[_queries[i].Text] ??= new double[held.Length];
            counts[_queries[i].Text]++;
            for (int b = 0; b < sum.Length; b++) sum[b] += held[b];
        }
        return [.. sums.Select((sum, text) => (sum ?? new double[_shares.Count]).Select(x => x / Math.Max(1, counts[text])).ToArray())];
    }

    // The newest key is always in; of the others the best.
    private static void Held(Query query, float[] scores, IReadOnlyList<double> shares, double[] held)
    {
        int visible = query.Visible;
        scores[visible - 1] = float.PositiveInfinity;
        for (int b = 0; b < held.Length; b++)
        {
            int budget = Math.Clamp((int)Math.Ceiling(visible * shares[b]), 1, visible);
            float threshold = OrderStatistic.Largest(scores.AsSpan(0, visible), budget);
            double sum = 0;
            foreach (float[] mass in query.Masses)
                for (int j = 0; j < visible; j++)
                    if (scores[j] >= threshold) sum += mass[j];
            held[b] = sum / query.Masses.Length;
        }
    }

    private static float[] Largest(float[][] scores, int visible)
    {
        float[] largest = [.. scores[0].AsSpan(0, visible)];
        foreach (float[] other in scores.Skip(1))
            for (int j = 0; j < visible; j++) largest[j] = Math.Max(largest[j], other[j]);
        return largest;
    }

    private sealed record Query(int Text, HeadWindow Window, int Visible, float[][] Heads, float[][] Masses, double[] Best);
}
