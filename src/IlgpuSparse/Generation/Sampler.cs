using System.Numerics;

namespace IlgpuSparse.Generation;

/// <summary>Draws tokens from logits by <see cref="SamplingOptions"/>. Deterministic for a seed on every machine: its random numbers are SplitMix64's, not the runtime's.</summary>
public sealed class Sampler
{
    /// <summary>Share of the most likely token's probability below which a token cannot matter: e^-40 is below what a float sum resolves.</summary>
    internal const float LeastProbability = 4e-18f;

    // SplitMix64's increment
    private const ulong DrawStep = 0x9E3779B97F4A7C15;

    private readonly SamplingOptions _options;
    private readonly HashSet<int> _seen = [];
    private ulong _state;
    private float[] _values = [];
    private int[] _ids = [];

    /// <summary>Starts the sequence of draws at the seed.</summary>
    /// <exception cref="ArgumentException">Options outside their ranges.</exception>
    public Sampler(SamplingOptions options)
    {
        options.Validate();
        _options = options;
        _state = options.Seed;
    }

    /// <summary>Tells of tokens that are already in the text, for the repetition penalty.</summary>
    public void Observe(ReadOnlySpan<int> tokens)
    {
        if (_options.RepetitionPenalty == 1) return;
        foreach (int token in tokens) _seen.Add(token);
    }

    /// <summary>The next token for <paramref name="logits"/> <c>[vocabulary]</c>; lowest id among equally likely ones when greedy.</summary>
    /// <exception cref="ArithmeticException">No logit is a finite number.</exception>
    public int Next(ReadOnlySpan<float> logits) => Checked(Find(logits));

    /// <summary><paramref name="token"/>, as a draw gave it.</summary>
    /// <exception cref="ArithmeticException">It is none: no logit was a finite number.</exception>
    internal static int Checked(int token) => token >= 0 ? token : throw new ArithmeticException("no logit is a finite number: the weights or the cache are damaged");

    /// <summary>As <see cref="Next"/> at another place of the sequence of draws; -1 when no logit is a finite number.</summary>
    internal int NextAt(ulong state, ReadOnlySpan<float> logits)
    {
        _state = state;
        return Find(logits);
    }

    /// <summary>Goes on behind <paramref name="draws"/> draws that were made elsewhere (<see cref="Compute.ComputeBackend.Sample"/>).</summary>
    internal void SkipTo(int draws) => _state = _options.Temperature == 0 ? _options.Seed : _options.Seed + (ulong)draws * DrawStep;

    private int Find(ReadOnlySpan<float> logits)
    {
        if (_options.Temperature == 0 && _options.RepetitionPenalty == 1) return Largest(logits);
        int n = logits.Length;
        if (_values.Length < n)
        {
            _values = new float[n];
            _ids = new int[n];
        }
        var values = _values.AsSpan(0, n);
        logits.CopyTo(values);
        foreach (int seen in _seen) values[seen] = values[seen] > 0 ? values[seen] / _options.RepetitionPenalty : values[seen] * _options.RepetitionPenalty;
        int best = Largest(values);
        if (best < 0) return best;
        int token = _options.Temperature == 0 ? best : Draw(values, values[best]);
        if (_options.RepetitionPenalty != 1) _seen.Add(token);
        return token;
    }

    // The lowest index of the largest finite number, -1 when there is none.
    private static int Largest(ReadOnlySpan<float> values)
    {
        var most = new Vector<float>(float.NegativeInfinity);
        int i = 0;
        for (; i <= values.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var v = new Vector<float>(values[i..]);
            // a finite number alone is zero after it is subtracted from itself
            most = Vector.Max(most, Vector.ConditionalSelect(Vector.Equals(v - v, Vector<float>.Zero), v, most));
        }
        float largest = float.NegativeInfinity;
        for (int lane = 0; lane < Vector<float>.Count; lane++) largest = Math.Max(largest, most[lane]);
        for (; i < values.Length; i++)
            if (float.IsFinite(values[i])) largest = Math.Max(largest, values[i]);
        if (!float.IsFinite(largest)) return -1;
        for (i = 0; i <= values.Length - Vector<float>.Count && !Vector.EqualsAny(new Vector<float>(values[i..]), new Vector<float>(largest)); i += Vector<float>.Count) { }
        while (values[i] != largest) i++;
        return i;
    }

    private int Draw(Span<float> values, float largest)
    {
        // unnormalised probabilities, the most likely token's 1, of the tokens that can matter
        bool sorted = _options.TopK > 0 || _options.TopP < 1;
        int count = 0;
        float floor = sorted ? LeastProbability : Math.Max(_options.MinP, LeastProbability);
        for (int i = 0; i < values.Length; i++)
        {
            float p = MathF.Exp((values[i] - largest) / _options.Temperature);
            if (!(p >= floor && p <= 1)) continue; // logits that are not finite are no tokens
            values[count] = p;
            _ids[count++] = i;
        }
        var ids = _ids.AsSpan(0, count);
        var kept = values[..count];
        if (sorted)
        {
            for (int i = 0; i < count; i++) kept[i] = -kept[i]; // ascending sort of the negatives; equal ones keep no promised order, so ties break by id below
            kept.Sort(ids);
            for (int i = 0; i < count; i++) kept[i] = -kept[i];
            SortTiesById(kept, ids);
            if (_options.TopK > 0) count = Math.Min(count, _options.TopK);
            if (_options.TopP < 1) count = Nucleus(kept[..count]);
            while (count > 1 && kept[count - 1] < _options.MinP) count--;
            kept = kept[..count];
        }
        double total = 0;
        foreach (float p in kept) total += p;
        double target = NextUniform() * total;
        for (int i = 0; i < count; i++)
        {
            target -= kept[i];
            if (target < 0) return ids[i];
        }
        return ids[count - 1];
    }

    private int Nucleus(ReadOnlySpan<float> sorted)
    {
        double total = 0, sum = 0;
        foreach (float p in sorted) total += p;
        int count = 0;
        while (count < sorted.Length && sum < _options.TopP * total) sum += sorted[count++];
        return Math.Max(1, count);
    }

    private static void SortTiesById(ReadOnlySpan<float> values, Span<int> ids)
    {
        for (int start = 0; start < values.Length;)
        {
            int end = start + 1;
            while (end < values.Length && values[end] == values[start]) end++;
            if (end - start > 1) ids[start..end].Sort();
            start = end;
        }
    }

    private double NextUniform()
    {
        ulong z = _state += DrawStep;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return ((z ^ (z >> 31)) >> 11) * (1.0 / (1UL << 53));
    }
}
