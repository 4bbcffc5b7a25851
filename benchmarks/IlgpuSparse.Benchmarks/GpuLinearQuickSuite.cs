using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Benchmarks;

/// <summary>
/// Products of few activation rows on CUDA against a copy in device memory, counted as bytes read and written. Each product is one of many with different matrices, more than the second-level
/// cache holds, recorded in a CUDA graph.
/// </summary>
internal static class GpuLinearQuickSuite
{
    private const long WeightBytes = 512L << 20, CopyBytes = 1L << 30;
    private const int Repetitions = 10;

    private static readonly (int Outputs, int Columns)[] Shapes = [(4096, 4096), (11008, 4096), (4096, 11008), (32000, 4096)];

    public static void Run()
    {
        using var device = GpuDevice.Open(GpuKind.Cuda);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        using var timer = new GpuTimer(device);
        double copy = CopyRate(backend, device, timer);
        Console.WriteLine($"{backend.Description}; device copy {copy / 1e9:F0} GB/s");
        Console.WriteLine("| format | outputs x columns | rows | us | GB/s of stored bytes | of copy |");
        Console.WriteLine("| --- | --- | --- | --- | --- | --- |");
        foreach (var format in Enum.GetValues<WeightFormat>())
            foreach (var (outputs, columns) in Shapes)
                foreach (int rows in (int[])[1, 4, 8])
                    Measure(backend, device, timer, format, outputs, columns, rows, copy);
    }

    private static void Measure(GpuBackend backend, GpuDevice device, GpuTimer timer, WeightFormat format, int outputs, int columns, int rows, double copy)
    {
        long bytes = format.ByteLength((long)outputs * columns);
        int count = (int)Math.Max(2, WeightBytes / bytes);
        byte[] pattern = StreamedWeights.Pattern(new Random(1), format, 64 * columns);
        var matrices = new WeightMatrix[count];
        using var x = Floats(backend, (long)rows * columns);
        using var y = backend.Allocate((long)rows * outputs * sizeof(float), "benchmark");
        try
        {
            for (int i = 0; i < count; i++)
            {
                var data = backend.Allocate(bytes, "benchmark");
                matrices[i] = new WeightMatrix("benchmark", format, outputs, columns, data);
                for (long at = 0; at < bytes; at += pattern.Length) data.Upload(pattern.AsSpan(0, (int)Math.Min(pattern.Length, bytes - at)), at);
            }
            double seconds = Time(backend, device, timer, () =>
            {
                foreach (var matrix in matrices) backend.MatMul(matrix, x, rows, y);
            }) / count;
            Console.WriteLine($"| {format} | {outputs} x {columns} | {rows} | {seconds * 1e6:F1} | {bytes / seconds / 1e9:F0} | {bytes / seconds / copy:P0} |");
        }
        finally
        {
            foreach (var matrix in matrices) matrix?.Dispose();
        }
    }

    // Median seconds of a recorded run.
    private static double Time(GpuBackend backend, GpuDevice device, GpuTimer timer, Action work)
    {
        work(); // loads kernels
        device.Synchronize();
        using var recorded = backend.Record(work);
        recorded.Run();
        var seconds = new double[Repetitions];
        for (int i = 0; i < Repetitions; i++)
        {
            timer.Start();
            recorded.Run();
            timer.Stop();
            seconds[i] = timer.Microseconds * 1e-6;
        }
        Array.Sort(seconds);
        return seconds[Repetitions / 2];
    }

    private static double CopyRate(GpuBackend backend, GpuDevice device, GpuTimer timer)
    {
        using var source = backend.Allocate(CopyBytes, "benchmark");
        using var target = backend.Allocate(CopyBytes, "benchmark");
        source.Clear();
        var from = GpuBuffer.View<byte>(source);
        var to = GpuBuffer.View<byte>(target);
        double seconds = Time(backend, device, timer, () => from.CopyTo(device.Stream, to));
        return 2 * CopyBytes / seconds;
    }

    private static DeviceBuffer Floats(GpuBackend backend, long count)
    {
        var random = new Random(2);
        var values = new float[count];
        for (long i = 0; i < count; i++) values[i] = (float)(random.NextDouble() - 0.5);
        var buffer = backend.Allocate(count * sizeof(float), "benchmark");
        ((DeviceSpan)buffer).Upload<float>(values);
        return buffer;
    }
}
