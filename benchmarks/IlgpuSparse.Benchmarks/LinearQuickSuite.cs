using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Benchmarks;

/// <summary>
/// Matrix-vector products against the read bandwidth and matrix products against the multiply-add peak. Yardstick and measurement alternate, and the median of their ratios is
/// printed, so that a busy neighbour disturbs both alike.
/// </summary>
internal static unsafe class LinearQuickSuite
{
    private const int Outputs = StreamedWeights.TypicalOutputs, Columns = StreamedWeights.TypicalColumns;

    public static void Run()
    {
        using var backend = new CpuBackend();
        Console.WriteLine(backend.Description);
        Console.WriteLine("| matrix-vector, 11008 x 4096 | rows | GB/s of stored bytes | of read bandwidth |");
        Console.WriteLine("| --- | --- | --- | --- |");
        foreach (var format in Enum.GetValues<WeightFormat>())
            foreach (int rows in (int[])[1, 4])
                MatVec(backend.Pool, format, rows);
        Console.WriteLine();
        Console.WriteLine("| matrix product | outputs x columns | rows | GFLOP/s | of multiply-add peak |");
        Console.WriteLine("| --- | --- | --- | --- | --- |");
        foreach (var format in (WeightFormat[])[WeightFormat.F32, WeightFormat.F16, WeightFormat.Q8_0, WeightFormat.Q4_K, WeightFormat.Q6_K])
            MatMul(backend.Pool, format, Outputs, Columns, 256);
        MatMul(backend.Pool, WeightFormat.Q8_0, 4096, 4096, 512);
        MatMul(backend.Pool, WeightFormat.Q8_0, 4096, 11008, 64);
        MatMul(backend.Pool, WeightFormat.Q8_0, 4096, 4096, 16);
        MatMul(backend.Pool, WeightFormat.Q8_0, 384, 384, 512);
        MatMul(backend.Pool, WeightFormat.Q8_0, 1024, 384, 512);
    }

    private static void MatVec(WorkerPool pool, WeightFormat format, int rows)
    {
        using var weights = new StreamedWeights(format, Outputs, Columns, rows);
        int products = (int)(StreamedWeights.Bytes / 2 / weights.MatrixBytes);
        PairedMeasurement.WarmUp(() => weights.Multiply(pool));
        var (rate, ratio) = PairedMeasurement.Run(
            () =>
            {
                ReadBandwidth.Run(pool, weights.Data, StreamedWeights.Bytes);
                return StreamedWeights.Bytes;
            },
            () =>
            {
                for (int i = 0; i < products; i++) weights.Multiply(pool);
                return products * weights.MatrixBytes;
            });
        Console.WriteLine($"| {format} | {rows} | {rate / 1e9:F1} | {ratio:P0} |");
    }

    private static void MatMul(WorkerPool pool, WeightFormat format, int outputs, int columns, int rows)
    {
        using var weights = new StreamedWeights(format, outputs, columns, rows);
        double flops = 2.0 * outputs * columns * rows;
        int products = Math.Max(1, (int)(1e10 / flops));
        PairedMeasurement.WarmUp(() => weights.Multiply(pool));
        var (rate, ratio) = PairedMeasurement.Run(
            () => FmaPeak.Run(pool, 64),
            () =>
            {
                for (int i = 0; i < products; i++) weights.Multiply(pool);
                return flops * products;
            });
        Console.WriteLine($"| {format} | {outputs} x {columns} | {rows} | {rate / 1e9:F0} | {ratio:P0} |");
    }
}
