using ILGPU.Runtime;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Products;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>Checks and times products with weight matrices, each on as many matrices in turn as exceed the caches.</summary>
internal sealed class LinearBenchmark : IDisposable
{
    /// <summary><see cref="BenchRow.What"/> of all rows.</summary>
    public const string Product = "product";

    private const int MaxMatrices = 1024, PatternRows = 64;

    private readonly ComputeBackend _backend;
    private readonly CpuBackend _reference = new();
    private readonly StepTimer _timer;
    private readonly Yardstick _yardstick;
    private readonly long _coldBytes;
    private readonly int _seed;
    private readonly ProductPrecision _precision;
    private readonly bool _tiles;

    /// <summary>Prepares.</summary>
    /// <param name="session">Where and how to measure.</param>
    /// <param name="precision">Of products of many rows on tensor cores.</param>
    /// <param name="tiles">Whether every tile of those, and every kernel for a single row, is timed too, to choose by.</param>
    public LinearBenchmark(BenchSession session, ProductPrecision precision = ProductPrecision.Single, bool tiles = false)
    {
        (_precision, _tiles) = (precision, tiles);
        _backend = session.Backend;
        _yardstick = session.Yardstick;
        _seed = session.Settings.Seed;
        _coldBytes = session.Settings.ColdBytes ?? AttentionBenchmark.DefaultColdBytes(_backend);
        _timer = new StepTimer(_backend, session.Settings.Samples, session.Cancellation);
    }

    /// <summary>The row of <paramref name="configuration"/>, or one that says what went wrong.</summary>
    public IReadOnlyList<BenchRow> Measure(LinearConfiguration configuration)
    {
        var (format, outputs, inputs, rows) = configuration;
        var row = new BenchRow { What = Product, Weights = format.ToString(), Outputs = outputs, Inputs = inputs, Batch = rows };
        var matrices = new List<WeightMatrix>();
        try
        {
            long bytes = format.ByteLength((long)outputs * inputs);
            int count = (int)Math.Clamp((_coldBytes + bytes - 1) / bytes, 1, MaxMatrices);
            var random = new Random(_seed);
            byte[] pattern = RandomWeightBytes.Create(random, format, PatternRows * inputs);
            float[] activations = new float[rows * inputs];
            for (int i = 0; i < activations.Length; i++) activations[i] = (float)(2 * random.NextDouble() - 1);
            for (int i = 0; i < count; i++) matrices.Add(Fill(_backend, configuration, pattern));
            using var x = _backend.Allocate((long)rows * inputs * sizeof(float), "activations");
            using var y = _backend.Allocate((long)rows * outputs * sizeof(float), "activations");
            ((DeviceSpan)x).Upload<float>(activations);
            void Step(int matrix) => _backend.MatMul(matrices[matrix], x, rows, y);

            float[] expected = Expected(configuration, pattern, activations);
            row = row with { Bytes = bytes, Layers = count, Operations = rows >= GpuTensorMatMul.MinRows ? 2.0 * rows * outputs * inputs : null };
            BenchRow[] own = [Measure(row, expected, y, Step, count)];
            return [.. own, .. Tiles(row, expected, y, Step, count), .. InTurn(row, expected, y, Step, count)];
        }
        catch (InsufficientMemoryException e)
        {
            return [row with { Problem = "out of memory: " + e.Message }];
        }
        catch (Exception e) when (e is AcceleratorException or CudaDriverException or NotSupportedException or ArgumentException or InvalidOperationException)
        {
            return [row with { Problem = e.Message, Failed = true }];
        }
        finally
        {
            foreach (var matrix in matrices) matrix.Dispose();
        }
    }

    private BenchRow Measure(BenchRow row, float[] expected, DeviceBuffer y, Action<int> step, int count)
    {
        Poison(y, expected.Length);
        step(0);
        if (Judge(ref row, expected, y) is { } wrong) return row with { Problem = "wrong result: " + wrong, Failed = true };
        row = row with { Launched = _timer.Launched(step, count) };
        if (_timer.HasGraphs)
        {
            Poison(y, expected.Length);
            var (graph, nodes) = _timer.Replayed(step, count);
            row = row with { Graph = graph, Nodes = nodes };
        }
        if (Judge(ref row, expected, y) is { } later) return row with { Problem = "wrong result after the timed runs: " + later, Failed = true };
        return row with { Share = row.GigabytesPerSecond / _yardstick.GigabytesPerSecond };
    }

    // The same by every tile that the device can run.
    private List<BenchRow> Tiles(BenchRow row, float[] expected, DeviceBuffer y, Action<int> step, int count)
    {
        var rows = new List<BenchRow>();
        if (!_tiles || row.Operations is null || _backend is not GpuBackend { TensorMatMul: { } products }) return rows;
        var all = products.Tiles;
        try
        {
            foreach (var tile in all)
            {
                products.Tiles = [tile];
                rows.Add(Measure(row with { What = $"{tile.Rows} x {tile.Outputs}{(tile.Warpgroups ? " by warpgroups" : "")}" }, expected, y, step, count));
            }
        }
        finally
        {
            products.Tiles = all;
        }
        return rows;
    }

    // The same for a single row with each kernel beginning after its predecessor.
    private List<BenchRow> InTurn(BenchRow row, float[] expected, DeviceBuffer y, Action<int> step, int count)
    {
        if (!_tiles || row.Batch != 1 || _backend is not GpuBackend { Device: { StartsKernelsEarly: true } device }) return [];
        try
        {
            device.StartsKernelsEarly = false;
            return [Measure(row with { What = "in turn" }, expected, y, step, count)];
        }
        finally
        {
            device.StartsKernelsEarly = true;
        }
    }

    // All matrices are alike, so that one reference serves.
    private static WeightMatrix Fill(ComputeBackend backend, LinearConfiguration c, byte[] pattern)
    {
        long bytes = c.Format.ByteLength((long)c.Outputs * c.Inputs);
        var data = backend.Allocate(bytes, "weights");
        var matrix = new WeightMatrix("benchmark", c.Format, c.Outputs, c.Inputs, data);
        try
        {
            for (long at = 0; at < bytes; at += pattern.Length) data.Upload(pattern.AsSpan(0, (int)Math.Min(pattern.Length, bytes - at)), at);
            return matrix;
        }
        catch
        {
            matrix.Dispose();
            throw;
        }
    }

    private float[] Expected(LinearConfiguration c, byte[] pattern, float[] activations)
    {
        using var matrix = Fill(_reference, c, pattern);
        using var x = _reference.Allocate((long)activations.Length * sizeof(float), "activations");
        using var y = _reference.Allocate((long)c.Rows * c.Outputs * sizeof(float), "activations");
        ((DeviceSpan)x).Upload<float>(activations);
        _reference.MatMul(matrix, x, c.Rows, y);
        return ((DeviceSpan)y).ToArray<float>(c.Rows * c.Outputs);
    }

    private static void Poison(DeviceBuffer y, int count)
    {
        float[] values = new float[count];
        Array.Fill(values, float.NaN);
        ((DeviceSpan)y).Upload<float>(values);
    }

    private string? Judge(ref BenchRow row, float[] expected, DeviceBuffer y)
    {
        float[] result = ((DeviceSpan)y).ToArray<float>(expected.Length);
        double difference = 0, size = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += Math.Pow((double)expected[i] - result[i], 2);
            size += Math.Pow(expected[i], 2);
        }
        double error = Math.Sqrt(difference / size);
        row = row with { Error = Math.Max(row.Error ?? 0, error) };
        double tolerance = row.Operations is null || _precision == ProductPrecision.Single ? 1e-4 : row.Weights == nameof(WeightFormat.BF16) ? 1e-2 : 1e-3;
        return error <= tolerance ? null : $"relative error {error:0.0e+0}, {tolerance:0.0e+0} is allowed";
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _timer.Dispose();
        _reference.Dispose();
    }
}
