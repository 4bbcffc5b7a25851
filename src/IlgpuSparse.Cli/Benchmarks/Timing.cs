namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>Microseconds of one run, over many.</summary>
/// <param name="Median">Half of the runs took no longer.</param>
/// <param name="InterquartileRange">Width of the middle half.</param>
/// <param name="Samples">Measurements.</param>
internal sealed record Timing(double Median, double InterquartileRange, int Samples)
{
    /// <summary>Of single measurements, in any order.</summary>
    public static Timing Of(IEnumerable<double> microseconds)
    {
        double[] sorted = [.. microseconds.Order()];
        return new Timing(Quantile(sorted, 0.5), Quantile(sorted, 0.75) - Quantile(sorted, 0.25), sorted.Length);
    }

    private static double Quantile(double[] sorted, double share)
    {
        double place = share * (sorted.Length - 1);
        int below = (int)place;
        return below + 1 < sorted.Length ? sorted[below] + (place - below) * (sorted[below + 1] - sorted[below]) : sorted[below];
    }
}
