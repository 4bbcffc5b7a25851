using System.Runtime.InteropServices;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Compute;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>
/// Judges a step before it is timed: outputs against attention in double precision over the numbers that were appended (so rounding of the storage counts), the selected sets against a full sort
/// of the backend's own scores, and the scores against exact logits. Some heads are looked at, as many as keep it short.
/// </summary>
internal sealed class AttentionCheck
{
    private const long Work = 1 << 26; // multiply-adds

    private readonly AttentionWorkload _workload;
    private readonly AttentionConfiguration _configuration;
    private readonly int _layer;
    private readonly List<(int Row, int Head, double[] Expected)> _references = [];

    /// <summary>For steps on <paramref name="layer"/>.</summary>
    public AttentionCheck(AttentionWorkload workload, AttentionConfiguration configuration, int layer) => (_workload, _configuration, _layer) = (workload, configuration, layer);

    /// <summary>Largest relative error of a head's output, ‖Δ‖ / ‖reference‖.</summary>
    public double Error { get; private set; } = double.NaN;

    /// <summary>Correlation of the scores with the exact logits, the smallest of the heads'; null for dense attention.</summary>
    public double? Correlation { get; private set; }

    /// <summary>What an output may be off by: the rounding of <paramref name="format"/> and of the arithmetic.</summary>
    public static double Tolerance(KvFormat format) => format switch
    {
        KvFormat.F32 => 1e-4,
        KvFormat.F16 => 2e-3,
        KvFormat.BF16 => 1.6e-2,
        _ => 5e-2,
    };

    /// <summary>Makes a step with poisoned outputs and judges it; null when it is right, else what is wrong.</summary>
    public string? Run(Func<int, int> random)
    {
        var sparse = _workload.Policy is DoubleSparsityPolicy policy && policy.IsSparse(_layer, _workload.Batch) ? policy : null;
        Poison(_workload.Results);
        if (sparse is not null)
        {
            Poison(sparse.Scores.Buffer);
            Poison(sparse.Sets.Indices);
            Poison(sparse.Sets.Counts);
        }
        if (sparse is not null) sparse.KeepsScores = true;
        _workload.Step(_layer);
        if (sparse is not null) sparse.KeepsScores = false;
        foreach (var (row, head) in Sample(random))
        {
            int[]? tokens = null;
            if (sparse is not null)
            {
                tokens = Selected(sparse, row, head, out string? problem);
                if (problem is not null) return problem;
            }
            _references.Add((row, head, Reference(row, head, tokens)));
        }
        return Outputs();
    }

    /// <summary>Judges the outputs as they are now, after further runs of the same step on the same layer; null when they are right.</summary>
    public string? Outputs()
    {
        int d = _configuration.Layout.HeadDim;
        double largest = 0;
        var actual = new float[d];
        foreach (var (row, head, expected) in _references)
        {
            ((DeviceSpan)_workload.Results).SkipFloats((long)(row * _configuration.Layout.Heads + head) * d).Download<float>(actual);
            double difference = 0, norm = 0;
            for (int c = 0; c < d; c++)
            {
                difference += (actual[c] - expected[c]) * (actual[c] - expected[c]);
                norm += expected[c] * expected[c];
            }
            double error = Math.Sqrt(difference / norm);
            if (!(error <= Tolerance(_configuration.KvFormat))) // NaN fails
            {
                Error = error;
                return $"sequence {row} head {head}: output is off by {error:0.0e+0} of its norm, allowed is {Tolerance(_configuration.KvFormat):0.0e+0}";
            }
            largest = Math.Max(largest, error);
        }
        Error = largest;
        return null;
    }

    /// <summary>Overwrites <paramref name="buffer"/> with ones in every bit: NaN, and positions that do not exist.</summary>
    public static void Poison(DeviceBuffer buffer)
    {
        var ones = new byte[(int)Math.Min(buffer.ByteLength, 1 << 22)];
        Array.Fill(ones, (byte)0xff);
        for (long at = 0; at < buffer.ByteLength; at += ones.Length) buffer.Upload(ones.AsSpan(0, (int)Math.Min(ones.Length, buffer.ByteLength - at)), at);
    }

    // Distinct (row, head) pairs, the last one always among them.
    private IEnumerable<(int Row, int Head)> Sample(Func<int, int> random)
    {
        int heads = _configuration.Layout.Heads, all = heads * _configuration.Batch;
        int count = (int)Math.Clamp(Work / ((long)_configuration.Context * _configuration.Layout.HeadDim), 2, 64);
        var chosen = new SortedSet<int> { all - 1 };
        while (chosen.Count < Math.Min(count, all)) chosen.Add(random(all));
        return chosen.Select(i => (i / heads, i % heads));
    }

    private double[] Logits(int row, int head)
    {
        int kvHead = head / _workload.Shape.GroupSize;
        var query = _workload.Query(row, head);
        var logits = new double[_configuration.Context];
        for (int t = 0; t < logits.Length; t++)
        {
            var key = _workload.Key(_layer, row, t, kvHead);
            double dot = 0;
            for (int c = 0; c < key.Length; c++) dot += (double)query[c] * key[c];
            logits[t] = dot / Math.Sqrt(key.Length);
        }
        return logits;
    }

    private double[] Reference(int row, int head, int[]? tokens)
    {
        double[] logits = Logits(row, head);
        tokens ??= [.. Enumerable.Range(0, logits.Length)];
        double maximum = double.NegativeInfinity, sum = 0;
        foreach (int t in tokens) maximum = Math.Max(maximum, logits[t]);
        var y = new double[_configuration.Layout.HeadDim];
        foreach (int t in tokens)
        {
            double weight = Math.Exp(logits[t] - maximum);
            sum += weight;
            var value = _workload.Value(_layer, row, t, head / _workload.Shape.GroupSize);
            for (int c = 0; c < y.Length; c++) y[c] += weight * value[c];
        }
        for (int c = 0; c < y.Length; c++) y[c] /= sum;
        if (_configuration.Attention.MeanValue && _workload.Policy is DoubleSparsityPolicy policy && policy.IsSparse(_layer, _workload.Batch)) Blend(y, policy, row, head);
        return y;
    }

    // The share of the mass as the backend has it, which tests of selection judge, and the mean of V.
    private void Blend(double[] y, DoubleSparsityPolicy policy, int row, int head)
    {
        int index = row * policy.Sets.Sets + head * policy.Sets.Sets / _configuration.Layout.Heads, context = _configuration.Context;
        double share = new DeviceSpan(policy.Sets.Shares!, 0).ToArray<float>(index + 1)[index];
        var mean = new double[y.Length];
        for (int t = 0; t < context; t++)
        {
            var value = _workload.Value(_layer, row, t, head / _workload.Shape.GroupSize);
            for (int c = 0; c < y.Length; c++) mean[c] += value[c] / (double)context;
        }
        for (int c = 0; c < y.Length; c++) y[c] = share * y[c] + (1 - share) * mean[c];
    }

    // The set that the head reads, once it is what a sort of the scores gives.
    private int[] Selected(DoubleSparsityPolicy policy, int row, int head, out string? problem)
    {
        int set = head * policy.Sets.Sets / _configuration.Layout.Heads, index = row * policy.Sets.Sets + set, context = _configuration.Context;
        int count = new DeviceSpan(policy.Sets.Counts, 0).ToArray<int>(index + 1)[index];
        var rule = _configuration.Attention.Rule;
        var scores = new float[context];
        policy.Scores.Buffer.Download(MemoryMarshal.AsBytes(scores.AsSpan()), (long)index * policy.Scores.Capacity * sizeof(float));
        int[] expected = Best(scores, rule);
        problem = count == expected.Length ? null : $"sequence {row} set {set} has {count:N0} tokens, {(rule.Share == 0 ? "the budget is" : "the mass asks for")} {expected.Length:N0}";
        if (problem is not null) return [];
        var tokens = new int[count];
        policy.Sets.Indices.Download(MemoryMarshal.AsBytes(tokens.AsSpan()), (long)index * policy.Sets.Capacity * sizeof(int));
        Array.Sort(tokens);
        for (int i = 0; i < count; i++)
        {
            if (tokens[i] == expected[i]) continue;
            problem = $"sequence {row} set {set}: selected token {i:N0} is {tokens[i]}, a sort of the scores gives {expected[i]}";
            return tokens;
        }
        problem = Correlate(row, set, policy.Sets.Sets, scores);
        return tokens;
    }

    // Forced tokens, then the highest scores, lower positions first among equals, up to the budget or the mass; ascending.
    private static int[] Best(float[] scores, SelectionRule rule)
    {
        int[] order = [.. Enumerable.Range(0, scores.Length)];
        // descending scores as ascending keys; forced ones before all
        var keys = new float[scores.Length];
        for (int t = 0; t < keys.Length; t++) keys[t] = t < rule.Sinks || t >= scores.Length - Math.Max(1, rule.Recent) ? float.NegativeInfinity : -scores[t] + 0f;
        order = [.. order.OrderBy(t => keys[t])]; // stable
        int count = rule.Budget(scores.Length);
        if (rule.Share != 0)
        {
            float maximum = scores.Max(), scale = TokenMass.Scale(rule.Temperature);
            ulong total = 0, mass = 0;
            foreach (float score in scores) total += TokenMass.Weight(score, maximum, scale);
            int least = rule.Least(scores.Length), taken = 0;
            for (ulong enough = TokenMass.Target(total, rule.Share); taken < count && (taken < least || mass < enough); taken++) mass += TokenMass.Weight(scores[order[taken]], maximum, scale);
            count = taken;
        }
        return [.. order.Take(count).Order()];
    }

    // Labels keep r of d channels, so their scores follow the logits; scores of other keys, or garbage, do not.
    private string? Correlate(int row, int set, int sets, float[] scores)
    {
        // a one-bit code of a normal number keeps 2/π of its variance, every finer one more; of a few tokens nothing can be said
        double least = 0.5 * Math.Sqrt(2 / Math.PI * Math.Min(1.0, (double)_configuration.Attention.Channels / _configuration.Layout.HeadDim)) - 3 / Math.Sqrt(scores.Length);
        if (least <= 0) return null;
        int heads = _configuration.Layout.Heads / sets;
        double[] exact = Logits(row, set * heads);
        for (int h = 1; h < heads; h++)
        {
            double[] other = Logits(row, set * heads + h);
            for (int t = 0; t < exact.Length; t++) exact[t] = _configuration.Attention.Reduction == GroupReduction.Max ? Math.Max(exact[t], other[t]) : exact[t] + other[t];
        }
        double meanX = exact.Average(), meanY = scores.Average(s => (double)s), xy = 0, xx = 0, yy = 0;
        for (int t = 0; t < exact.Length; t++)
        {
            double x = exact[t] - meanX, y = scores[t] - meanY;
            xy += x * y;
            xx += x * x;
            yy += y * y;
        }
        double correlation = xy / Math.Sqrt(xx * yy);
        if (!(correlation >= least)) return $"sequence {row} set {set}: scores follow the exact logits with a correlation of {correlation:0.00}, at least {least:0.00} is expected";
        Correlation = Math.Min(Correlation ?? 1, correlation);
        return null;
    }
}
