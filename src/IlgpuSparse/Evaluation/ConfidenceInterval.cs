namespace IlgpuSparse.Evaluation;

/// <summary>Where a measured number lies with 95 % confidence.</summary>
/// <param name="Low">Lower end.</param>
/// <param name="High">Upper end.</param>
public readonly record struct ConfidenceInterval(double Low, double High)
{
    private const double Z = 1.959963984540054;

    /// <summary>Wilson's interval of a share: right also at 0 and 1, and for few cases.</summary>
    /// <exception cref="ArgumentOutOfRangeException">No cases, or more hits than cases.</exception>
    public static ConfidenceInterval Wilson(int hits, int cases)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(cases, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(hits);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(hits, cases);
        double share = (double)hits / cases, scale = 1 + Z * Z / cases;
        double centre = share + Z * Z / (2 * cases), half = Z * Math.Sqrt(share * (1 - share) / cases + Z * Z / (4.0 * cases * cases));
        // at the ends the formula gives 0 and 1 but for rounding
        return new ConfidenceInterval(hits == 0 ? 0 : (centre - half) / scale, hits == cases ? 1 : (centre + half) / scale);
    }

    /// <summary>Of the mean of <paramref name="differences"/>, by the normal distribution; infinitely wide for fewer than two.</summary>
    public static ConfidenceInterval OfMean(IReadOnlyList<double> differences)
    {
        ArgumentNullException.ThrowIfNull(differences);
        if (differences.Count < 2) return new ConfidenceInterval(double.NegativeInfinity, double.PositiveInfinity);
        double mean = differences.Average(), variance = differences.Sum(d => (d - mean) * (d - mean)) / (differences.Count - 1), half = Z * Math.Sqrt(variance / differences.Count);
        return new ConfidenceInterval(mean - half, mean + half);
    }
}
