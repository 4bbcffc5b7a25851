namespace IlgpuSparse.Calibration;

/// <summary>Channels or directions of one (layer, kv head) as a label quantises them: what a search chooses among.</summary>
internal sealed class DirectionCodes
{
    private readonly IReadOnlyList<float> _mean, _deviation;
    private readonly LabelBasis? _basis;
    private readonly float[][]? _keys, _queries;

    private DirectionCodes(IReadOnlyList<double> weight, IReadOnlyList<float> mean, IReadOnlyList<float> deviation, LabelBasis? basis)
    {
        (Weight, _mean, _deviation, _basis) = (weight, mean, deviation, basis);
        if (basis is null) return;
        _keys = [.. Enumerable.Range(0, basis.Count).Select(basis.Key)];
        _queries = [.. Enumerable.Range(0, basis.Count).Select(basis.Query)];
    }

    /// <summary>The channels of <paramref name="head"/>, weighted by its scores.</summary>
    /// <exception cref="ArgumentException">It has no scores or scales.</exception>
    public static DirectionCodes OfChannels(HeadChannels head) => head is { Scores: { } scores, Mean: { } mean, Deviation: { } deviation }
        ? new DirectionCodes([.. scores.Select(s => (double)s)], mean, deviation, null) : throw new ArgumentException("the channels have no scores and scales", nameof(head));

    /// <summary>The directions of <paramref name="basis"/>.</summary>
    public static DirectionCodes OfBasis(LabelBasis basis) => new([.. basis.Weight.Select(w => (double)w)], basis.Mean, basis.Deviation, basis);

    /// <summary>Variance that leaving each out adds to the logits, up to a factor.</summary>
    public IReadOnlyList<double> Weight { get; }

    /// <summary>How many there are.</summary>
    public int Count => Weight.Count;

    /// <summary>Offset of quantiser <paramref name="index"/>.</summary>
    public float Offset(int index) => _mean[index];

    /// <summary>Step of quantiser <paramref name="index"/> with <paramref name="bits"/>. What never varied carries nothing: any positive step keeps its code finite.</summary>
    public float Step(int index, int bits) => Math.Max(_deviation[index], 1e-6f) * BitAllocation.Step(bits);

    /// <summary>Value <paramref name="index"/> of each key of <paramref name="window"/>.</summary>
    public float[] Column(HeadWindow window, int index)
    {
        int d = window.Keys.Length / window.Count;
        var column = new float[window.Count];
        for (int t = 0; t < column.Length; t++) column[t] = _keys is null ? window.Keys[t * d + index] : VectorMath.Dot(_keys[index], window.Keys.AsSpan(t * d, d));
        return column;
    }

    /// <summary>What <paramref name="query"/> <c>[headDim]</c> multiplies value <paramref name="index"/> by.</summary>
    public float Query(ReadOnlySpan<float> query, int index) => _queries is null ? query[index] : VectorMath.Dot(_queries[index], query);

    /// <summary>What a label of <paramref name="bits"/> bits remembers of <paramref name="column"/>, the offset left out.</summary>
    public float[] Quantise(float[] column, int index, int bits)
    {
        var result = new float[column.Length];
        if (bits == 0) return result;
        float offset = Offset(index), step = Step(index, bits), top = (1 << bits) - 1;
        for (int t = 0; t < result.Length; t++) result[t] = step * (MathF.Round(Math.Clamp((column[t] - offset) / step + top / 2, 0, top)) - top / 2);
        return result;
    }
}
