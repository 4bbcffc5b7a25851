using IlgpuSparse.Cli.Benchmarks;

namespace IlgpuSparse.Tests.Cli.Benchmarks;

public class TimingTests
{
    [Theory]
    [InlineData(new double[] { 3 }, 3, 0)]
    [InlineData(new double[] { 4, 2 }, 3, 1)]
    [InlineData(new double[] { 9, 1, 5, 7, 3 }, 5, 4)]
    [InlineData(new double[] { 1, 1, 1, 1000 }, 1, 249.75)]
    public void Median_and_middle_half(double[] samples, double median, double range)
    {
        var timing = Timing.Of(samples);
        Assert.Equal(median, timing.Median, 1e-9);
        Assert.Equal(range, timing.InterquartileRange, 1e-9);
        Assert.Equal(samples.Length, timing.Samples);
    }
}
