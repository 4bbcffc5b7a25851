using System.Diagnostics;

namespace IlgpuSparse.Benchmarks;

/// <summary>Work against a yardstick: both alternate, and the median of their ratios counts, so that a busy neighbour disturbs both alike.</summary>
internal static class PairedMeasurement
{
    private const int Rounds = 11;

    /// <summary>Both functions return the amount they did; the results are the work's median amount a second and the median of its ratio to the yardstick measured just before.</summary>
    public static (double Rate, double Ratio) Run(Func<double> yardstick, Func<double> work)
    {
        double[] rates = new double[Rounds], ratios = new double[Rounds];
        for (int i = 0; i < Rounds; i++)
        {
            double reference = Rate(yardstick);
            rates[i] = Rate(work);
            ratios[i] = rates[i] / reference;
        }
        Array.Sort(rates);
        Array.Sort(ratios);
        return (rates[Rounds / 2], ratios[Rounds / 2]);
    }

    /// <summary>As <see cref="Run"/> for actions that do a fixed amount.</summary>
    public static (double Rate, double Ratio) Against(Action yardstick, double yardstickAmount, Action work, double amount) => Run(
        () =>
        {
            yardstick();
            return yardstickAmount;
        },
        () =>
        {
            work();
            return amount;
        });

    /// <summary>Runs <paramref name="work"/> until the just-in-time compiler has long finished with it.</summary>
    public static void WarmUp(Action work)
    {
        const int leastRuns = 3;
        long start = Stopwatch.GetTimestamp();
        for (int runs = 0; runs < leastRuns || Stopwatch.GetElapsedTime(start).TotalSeconds < 0.5; runs++) work();
    }

    private static double Rate(Func<double> work)
    {
        long start = Stopwatch.GetTimestamp();
        double amount = work();
        return amount / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
