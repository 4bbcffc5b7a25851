using System.Runtime.Intrinsics;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Compute;

public sealed class CpuMatMulTests : IDisposable
{
    private readonly CpuBackend _backend = new(threads: 3);
    private readonly int _seed = Random.Shared.Next();
    private readonly Random _random;

    public CpuMatMulTests() => _random = new Random(_seed);

    public static TheoryData<WeightFormat> Formats => RandomWeights.Formats;

    public static TheoryData<WeightFormat, int> FormatsAndWidths => [.. from f in Enum.GetValues<WeightFormat>() from w in new[] { 128, 256, 512 } select (f, w)];

    [Theory]
    [MemberData(nameof(Formats))]
    public void ProductsMatchDoublePrecision(WeightFormat format)
    {
        foreach (int outputs in (int[])[1, 3, 33, 200])
            foreach (int rows in (int[])[1, 2, 3, 5, 8, 9, 12, 13, 16, 17, 20, 32, 33, 49])
                Check(format, outputs, RandomWeights.ColumnsFor(format, _random.Next(1, 1400)), rows, bias: _random.Next(2) == 0, accumulate: _random.Next(2) == 0);
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void ManyOutputs(WeightFormat format)
    {
        foreach (int rows in (int[])[1, 4, 11]) Check(format, 1000, RandomWeights.ColumnsFor(format, 515), rows, bias: true, accumulate: true);
    }

    [Theory]
    [InlineData(WeightFormat.F32)]
    [InlineData(WeightFormat.F16)]
    [InlineData(WeightFormat.BF16)]
    public void AnyColumnCount(WeightFormat format)
    {
        for (int columns = 1; columns <= 70; columns++)
            foreach (int rows in (int[])[1, 3, 10]) Check(format, 5, columns, rows, bias: false, accumulate: false);
    }

    [Theory]
    [MemberData(nameof(FormatsAndWidths))]
    public unsafe void EveryVectorWidth(WeightFormat format, int bits)
    {
        Assert.SkipWhen(bits == 512 && !Vector512.IsHardwareAccelerated || bits == 256 && !Vector256.IsHardwareAccelerated, $"no {bits}-bit vectors here");
        foreach (int rows in (int[])[1, 3, 14, 23])
        {
            var weights = new RandomWeights(_random, format, 37, RandomWeights.ColumnsFor(format, 700));
            using var matrix = weights.Load(_backend);
            float[] x = RandomWeights.Normals(_random, rows * weights.Columns), y = new float[rows * weights.Rows];
            fixed (float* px = x, py = y)
            {
                var operands = new MatMulOperands(format, (nint)((CpuBuffer)matrix.Data).Data, weights.Rows, weights.Columns, (nint)px, rows, (nint)py, 0, false);
                if (bits == 512) CpuMatMul.Run<Simd512>(_backend.Pool, operands);
                else if (bits == 256) CpuMatMul.Run<Simd256>(_backend.Pool, operands);
                else CpuMatMul.Run<Simd128>(_backend.Pool, operands);
            }
            AssertProduct(weights, x, rows, y, new float[y.Length], $"{bits} bits");
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void ResultOfARowDoesNotDependOnItsBatch(WeightFormat format)
    {
        var weights = new RandomWeights(_random, format, 45, RandomWeights.ColumnsFor(format, 600));
        using var matrix = weights.Load(_backend);
        float[] x = RandomWeights.Normals(_random, 200 * weights.Columns);
        // within a kernel to the bit, between kernels to rounding: 200 rows are two parts, 40 rows a panel of two vectors and one of one
        float[] all = Product(matrix, x, 200), twelve = Product(matrix, x[..(12 * weights.Columns)], 12);
        foreach (int rows in (int[])[13, 17, 40])
        {
            float[] some = Product(matrix, x[..(rows * weights.Columns)], rows);
            Assert.Equal(all[..some.Length], some);
        }
        foreach (int rows in (int[])[2, 5, 6, 9, 11])
        {
            float[] some = Product(matrix, x[..(rows * weights.Columns)], rows);
            Assert.Equal(twelve[..some.Length], some);
        }
        AssertProduct(weights, x, 12, twelve, new float[twelve.Length], "twelve rows");
        AssertProduct(weights, x, 200, all, new float[all.Length], "200 rows");
        for (int row = 0; row < 17; row++)
        {
            float[] alone = Product(matrix, x[(row * weights.Columns)..((row + 1) * weights.Columns)], 1);
            AssertProduct(weights, x[(row * weights.Columns)..], 1, alone, new float[alone.Length], $"row {row}");
        }
        Assert.Equal(all, Product(matrix, x, 200));
    }

    [Fact]
    public void BiasInHalfPrecision()
    {
        var weights = new RandomWeights(_random, WeightFormat.Q8_0, 21, 64);
        var bias = new RandomWeights(_random, WeightFormat.F16, 1, 21);
        using var matrix = weights.Load(_backend);
        using var biasVector = bias.Load(_backend);
        float[] x = RandomWeights.Normals(_random, 64);
        using var input = Upload(x);
        using var output = _backend.Allocate(21 * sizeof(float), "y");
        _backend.MatMul(matrix, input, 1, output, biasVector);
        AssertProduct(weights, x, 1, ((DeviceSpan)output).ToArray<float>(21), [.. bias.Values.Select(v => (float)v)], "fp16 bias");
    }

    [Fact]
    public void WrongBiasIsRefused()
    {
        using var matrix = new RandomWeights(_random, WeightFormat.F32, 4, 8).Load(_backend);
        using var bias = new RandomWeights(_random, WeightFormat.F32, 1, 3).Load(_backend);
        using var x = Upload(new float[8]);
        using var y = _backend.Allocate(16, "y");
        var error = Assert.Throws<ArgumentException>(() => _backend.MatMul(matrix, x, 1, y, bias));
        Assert.Contains("3 numbers for the 4 outputs", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void SteadyStateAllocatesNothing()
    {
        using var matrix = new RandomWeights(_random, WeightFormat.Q8_0, 300, 512).Load(_backend);
        using var x = Upload(RandomWeights.Normals(_random, 16 * 512));
        using var y = _backend.Allocate(16 * 300 * sizeof(float), "y");
        foreach (int rows in (int[])[1, 4, 16]) _backend.MatMul(matrix, x, rows, y);
        long before = GC.GetAllocatedBytesForCurrentThread();
        _backend.MatMul(matrix, x, 1, y);
        _backend.MatMul(matrix, x, 4, y);
        _backend.MatMul(matrix, x, 16, y);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    private void Check(WeightFormat format, int outputs, int columns, int rows, bool bias, bool accumulate)
    {
        var weights = new RandomWeights(_random, format, outputs, columns);
        using var matrix = weights.Load(_backend);
        float[] x = RandomWeights.Normals(_random, rows * columns), start = accumulate ? RandomWeights.Normals(_random, rows * outputs) : new float[rows * outputs];
        var biasValues = new RandomWeights(_random, WeightFormat.F32, 1, outputs);
        using var biasVector = biasValues.Load(_backend);
        using var input = Upload(x);
        using var output = Upload(accumulate ? start : [.. Enumerable.Repeat(float.NaN, rows * outputs)]);
        _backend.MatMul(matrix, input, rows, output, bias ? biasVector : null, accumulate);
        if (bias)
            for (int i = 0; i < start.Length; i++) start[i] += (float)biasValues.Values[i % outputs];
        AssertProduct(weights, x, rows, ((DeviceSpan)output).ToArray<float>(rows * outputs), start, $"bias {bias}, accumulate {accumulate}");
    }

    private float[] Product(WeightMatrix matrix, float[] x, int rows)
    {
        using var input = Upload(x);
        using var output = _backend.Allocate((long)rows * matrix.Rows * sizeof(float), "y");
        _backend.MatMul(matrix, input, rows, output);
        return ((DeviceSpan)output).ToArray<float>(rows * matrix.Rows);
    }

    private DeviceBuffer Upload(float[] values)
    {
        var buffer = _backend.Allocate(values.Length * sizeof(float), "test");
        ((DeviceSpan)buffer).Upload<float>(values);
        return buffer;
    }

    private void AssertProduct(RandomWeights weights, float[] x, int rows, float[] y, float[] start, string what)
    {
        for (int row = 0; row < rows; row++)
        {
            for (int output = 0; output < weights.Rows; output++)
            {
                double sum = start[row * weights.Rows + output], size = Math.Abs(sum);
                for (int c = 0; c < weights.Columns; c++)
                {
                    double product = weights.Values[output * weights.Columns + c] * x[row * weights.Columns + c];
                    sum += product;
                    size += Math.Abs(product);
                }
                // The offset of Q4 blocks is added in floats, so codes and offsets of many times the result's size may cancel: relative to the sum of magnitudes.
                double error = Math.Abs(y[row * weights.Rows + output] - sum);
                Assert.True(error <= 2e-6 * size + 1e-6,
                    $"{weights.Format} {weights.Rows}x{weights.Columns}, {rows} rows, {what}: y[{row}, {output}] = {y[row * weights.Rows + output]}, not {sum} (seed {_seed})");
            }
        }
    }

    public void Dispose() => _backend.Dispose();
}
