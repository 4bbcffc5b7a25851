using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>How fast a backend's memory is, measured in the same run: what achieved rates are shares of.</summary>
/// <param name="What">copy on devices (bytes read and written both counted), read on the processor.</param>
/// <param name="Bytes">Bytes read and written a run.</param>
/// <param name="Timing">Time of a run.</param>
internal sealed record Yardstick(string What, long Bytes, Timing Timing)
{
    /// <summary>Gigabytes (10⁹) a second.</summary>
    public double GigabytesPerSecond => Bytes / Timing.Median / 1e3;

    /// <summary>As a row of results.</summary>
    public BenchRow Row => new() { What = What, Launched = Timing, Bytes = Bytes, Share = 1 };

    /// <summary>Measures <paramref name="backend"/>.</summary>
    public static Yardstick Measure(ComputeBackend backend, int samples, CancellationToken cancellation)
    {
        if (backend is CpuBackend cpu)
        {
            const long readBytes = 256 << 20;
            double rate = ReadBandwidth.Measure(cpu.Pool, readBytes, TimeSpan.FromMilliseconds(500));
            return new Yardstick("read", readBytes, new Timing(readBytes / rate * 1e6, 0, 1));
        }
        var device = ((GpuBackend)backend).Device;
        long bytes = device.Kind switch
        {
            GpuKind.Cuda => 1L << 30,
            GpuKind.OpenCl => 256L << 20, // often the largest that may be allocated at once
            _ => 16L << 20,
        };
        using var source = backend.Allocate(bytes, "copy");
        using var target = backend.Allocate(bytes, "copy");
        source.Clear();
        target.Clear();
        ArrayView<byte> from = GpuBuffer.View<byte>(source), to = GpuBuffer.View<byte>(target);
        using var timer = new StepTimer(backend, samples, cancellation);
        return new Yardstick("copy", 2 * bytes, timer.Launched(_ => from.CopyTo(device.Stream, to), 1));
    }
}
