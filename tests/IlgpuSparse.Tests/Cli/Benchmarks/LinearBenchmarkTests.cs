using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Cli.Benchmarks;

/// <summary>The benchmark of products: times of right results only.</summary>
public sealed class LinearBenchmarkTests
{
    private readonly int _seed = Random.Shared.Next();

    [Fact]
    public void RightProductsAreTimed()
    {
        using var backend = new CpuBackend(1);
        foreach (var format in Enum.GetValues<WeightFormat>())
        {
            var row = Measure(backend, new LinearConfiguration(format, 70, 512, 2));
            Assert.Null(row.Problem);
            Assert.InRange(row.Error!.Value, 0, 1e-4);
            Assert.True(row.Microseconds > 0 && row.Share > 0);
            Assert.Equal(format.ByteLength(70 * 512), row.Bytes);
        }
    }

    [Theory]
    [InlineData("output")]
    [InlineData("nothing")]
    [InlineData("later")]
    public void WrongProductsAreNot(string fault)
    {
        using var backend = new FaultyBackend(fault);
        var row = Measure(backend, new LinearConfiguration(WeightFormat.Q8_0, 70, 512, 1));
        Assert.True(row.Failed);
        Assert.StartsWith("wrong result", row.Problem, StringComparison.Ordinal);
        Assert.Null(row.Share);
    }

    private BenchRow Measure(ComputeBackend backend, LinearConfiguration configuration)
    {
        var yardstick = new Yardstick("read", 1 << 20, new Timing(100, 0, 1));
        using var benchmark = new LinearBenchmark(new BenchSession(backend, new BenchSettings(2, _seed, 0), yardstick, row => row, _ => { }, CancellationToken.None));
        return Assert.Single(benchmark.Measure(configuration));
    }
}
