using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Tests.Gpu;

namespace IlgpuSparse.Tests.Cli.Benchmarks;

[Collection("accelerators")]
public sealed class OffloadBenchmarkTests(Accelerators accelerators)
{
    [Fact]
    public void Copies_and_rows_are_timed_and_nothing_stays()
    {
        using var backend = GpuBackend.Create(accelerators.Open(GpuKind.CpuAccelerator), leaveOpen: true);
        using (var benchmark = new OffloadBenchmark(Session(backend)))
        {
            var copy = benchmark.MeasureCopy();
            Assert.True(copy.BusGigabytesPerSecond > 0);
            var rows = benchmark.MeasureRows(128);
            Assert.Equal([OffloadBenchmark.ZeroCopy, OffloadBenchmark.CopyRows], rows.Select(r => r.What));
            Assert.All(rows, r => Assert.True(r.BusBytes > 0 && r.BusShare > 0));
            Assert.Equal(128, rows[0].RowBytes);
        }
        Assert.Equal(0, backend.Memory.LiveBytes);
        Assert.Equal(0, backend.HostMemory.LiveBytes);
    }

    [Fact]
    public void A_backend_that_reaches_no_host_memory_is_refused()
    {
        using var backend = new CpuBackend(1);
        Assert.Contains("cpu", Assert.Throws<NotSupportedException>(() => new OffloadBenchmark(Session(backend))).Message, StringComparison.Ordinal);
    }

    private static BenchSession Session(ComputeBackend backend) =>
        new(backend, new BenchSettings(1, 1, 0), new Yardstick("copy", 1 << 20, new Timing(100, 0, 1)), row => row, _ => { }, CancellationToken.None);
}
