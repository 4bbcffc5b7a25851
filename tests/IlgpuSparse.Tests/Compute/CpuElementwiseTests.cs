using System.Runtime.Intrinsics;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Llama;

namespace IlgpuSparse.Tests.Compute;

public sealed class CpuElementwiseTests : IDisposable
{
    private readonly CpuBackend _backend = new(threads: 3);
    private readonly int _seed = Random.Shared.Next();
    private readonly Random _random;

    public CpuElementwiseTests() => _random = new Random(_seed);

    public static TheoryData<WeightFormat> Formats => RandomWeights.Formats;

    [Theory]
    [MemberData(nameof(Formats))]
    public void EmbeddingRows(WeightFormat format)
    {
        var weights = new RandomWeights(_random, format, 50, RandomWeights.ColumnsFor(format, 600));
        using var table = weights.Load(_backend);
        int[] ids = [0, 49, _random.Next(50), 7, 7];
        using var idBuffer = _backend.Allocate(ids.Length * sizeof(int), "ids");
        ((DeviceSpan)idBuffer).Upload<int>(ids);
        using var x = _backend.Allocate(ids.Length * weights.Columns * sizeof(float), "x");
        _backend.Embed(table, idBuffer, ids.Length, x);
        float[] values = ((DeviceSpan)x).ToArray<float>(ids.Length * weights.Columns);
        double largest = weights.Values.Max(Math.Abs);
        for (int i = 0; i < values.Length; i++)
        {
            double expected = weights.Values[ids[i / weights.Columns] * weights.Columns + i % weights.Columns];
            Assert.True(Math.Abs(values[i] - expected) <= 1e-6 * largest, $"{format}: number {i} is {values[i]}, not {expected} (seed {_seed})");
        }
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(50)]
    public void TokenIdOutsideTheTableIsRefused(int id)
    {
        using var table = new RandomWeights(_random, WeightFormat.F16, 50, 8).Load(_backend);
        using var ids = _backend.Allocate(sizeof(int), "ids");
        ((DeviceSpan)ids).Upload<int>([id]);
        using var x = _backend.Allocate(8 * sizeof(float), "x");
        var error = Assert.Throws<ArgumentOutOfRangeException>(() => _backend.Embed(table, ids, 1, x));
        Assert.Contains("50 rows", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(WeightFormat.F32)]
    [InlineData(WeightFormat.F16)]
    [InlineData(WeightFormat.BF16)]
    public void RmsNormMatchesDoublePrecision(WeightFormat format)
    {
        foreach (var (rows, width) in ((int, int)[])[(1, 1), (1, 7), (3, 64), (2, 383), (1, 4096), (40, 1030), (5, 14336)])
        {
            var weights = new RandomWeights(_random, format, 1, width);
            using var weight = weights.Load(_backend);
            float size = MathF.Exp(RandomWeights.Normal(_random) * 3);
            float[] x = [.. RandomWeights.Normals(_random, rows * width).Select(v => v * size)];
            using var buffer = Upload(x);
            using var y = Upload(new float[x.Length]);
            _backend.RmsNorm(buffer, weight, 1e-5f, rows, y);
            float[] result = ((DeviceSpan)y).ToArray<float>(x.Length);
            for (int row = 0; row < rows; row++)
            {
                var source = x.AsSpan(row * width, width);
                double squares = 0;
                foreach (float v in source) squares += (double)v * v;
                double factor = 1 / Math.Sqrt(squares / width + 1e-5f);
                for (int c = 0; c < width; c++)
                {
                    double expected = source[c] * factor * weights.Values[c];
                    Assert.True(Math.Abs(result[row * width + c] - expected) <= 1e-6 * Math.Abs(expected) + 1e-30,
                        $"{format} {rows}x{width}: y[{row}, {c}] = {result[row * width + c]}, not {expected} (seed {_seed})");
                }
            }
            _backend.RmsNorm(buffer, weight, 1e-5f, rows, buffer); // in place
            Assert.Equal(result, ((DeviceSpan)buffer).ToArray<float>(x.Length));
        }
    }

    [Theory]
    [InlineData(RopeStyle.HalfSplit)]
    [InlineData(RopeStyle.Interleaved)]
    public void RopeMatchesDoublePrecision(RopeStyle style)
    {
        foreach (var (heads, headDim) in ((int, int)[])[(1, 2), (3, 6), (5, 64), (2, 80), (32, 128)])
        {
            using var table = new RopeTable(_backend, Config(style, heads, headDim));
            using var batch = new StepBatch(_backend, 64, 64, 1);
            int[] positions = [0, 1, 17, 1_000_003, .. Enumerable.Range(0, 29).Select(_ => _random.Next(1_100_000))];
            batch.SetDecode(positions, [.. positions.Select(_ => new int[1])]);
            int rows = positions.Length, width = heads * headDim;
            float[] x = RandomWeights.Normals(_random, rows * width);
            using var buffer = Upload(x);
            _backend.Rope(table, batch, heads, buffer);
            float[] result = ((DeviceSpan)buffer).ToArray<float>(x.Length), frequencies = ((DeviceSpan)table.InverseFrequencies).ToArray<float>(headDim / 2);
            for (int at = 0; at < x.Length; at += headDim)
            {
                int position = positions[at / width];
                for (int i = 0; i < headDim / 2; i++)
                {
                    int first = style == RopeStyle.HalfSplit ? i : 2 * i, second = style == RopeStyle.HalfSplit ? i + headDim / 2 : 2 * i + 1;
                    var (sin, cos) = Math.SinCos((double)position * frequencies[i]);
                    double a = x[at + first], b = x[at + second];
                    Near(a * cos - b * sin, result[at + first]);
                    Near(b * cos + a * sin, result[at + second]);
                    void Near(double expected, float actual) => Assert.True(Math.Abs(actual - expected) <= 5e-7 * (Math.Abs(a) + Math.Abs(b)),
                        $"{style}, {heads}x{headDim}, position {position}, pair {i}: {actual}, not {expected} (seed {_seed})");
                }
            }
        }
    }

    [Fact]
    public void RopeOfAPrefillUsesConsecutivePositions()
    {
        using var table = new RopeTable(_backend, Config(RopeStyle.HalfSplit, 2, 16));
        using var prefill = new StepBatch(_backend, 8, 8, 1);
        using var decode = new StepBatch(_backend, 8, 8, 1);
        prefill.SetPrefill(100, 5, [0]);
        decode.SetDecode([100, 101, 102, 103, 104], [.. Enumerable.Range(0, 5).Select(_ => new int[1])]);
        float[] x = RandomWeights.Normals(_random, 5 * 32);
        using var a = Upload(x);
        using var b = Upload(x);
        _backend.Rope(table, prefill, 2, a);
        _backend.Rope(table, decode, 2, b);
        Assert.Equal(((DeviceSpan)b).ToArray<float>(x.Length), ((DeviceSpan)a).ToArray<float>(x.Length));
    }

    [Fact]
    public void SwiGluMatchesDoublePrecision()
    {
        foreach (int count in (int[])[1, 3, 15, 16, 33, 1000, 40_000])
        {
            float[] gate = [.. RandomWeights.Normals(_random, count).Select(v => v * 8)], up = RandomWeights.Normals(_random, count);
            if (count > 100) (gate[0], gate[1], gate[2], gate[3]) = (-100, 100, 0, -87.5f);
            AssertSwiGlu(gate, up, 1, SwiGlu(gate, up));
        }
    }

    [Theory]
    [InlineData(128)]
    [InlineData(256)]
    [InlineData(512)]
    public unsafe void SwiGluAndNormOfEveryVectorWidth(int bits)
    {
        Assert.SkipWhen(bits == 512 && !Vector512.IsHardwareAccelerated || bits == 256 && !Vector256.IsHardwareAccelerated, $"no {bits}-bit vectors here");
        float[] gate = RandomWeights.Normals(_random, 1001), up = RandomWeights.Normals(_random, 1001), product = [.. gate];
        float[] normed = new float[1001], ones = [.. Enumerable.Repeat(1f, 1001)];
        fixed (float* g = product, u = up, x = gate, w = ones, y = normed)
        {
            if (bits == 512) { CpuSwiGlu.Run<Simd512>(_backend.Pool, g, u, 1001, 0.3f); CpuRmsNorm.Run<Simd512>(_backend.Pool, x, w, 0, 1, 1001, y); }
            else if (bits == 256) { CpuSwiGlu.Run<Simd256>(_backend.Pool, g, u, 1001, 0.3f); CpuRmsNorm.Run<Simd256>(_backend.Pool, x, w, 0, 1, 1001, y); }
            else { CpuSwiGlu.Run<Simd128>(_backend.Pool, g, u, 1001, 0.3f); CpuRmsNorm.Run<Simd128>(_backend.Pool, x, w, 0, 1, 1001, y); }
        }
        AssertSwiGlu(gate, up, 0.3f, product);
        Assert.Equal(1001, normed.Sum(v => (double)v * v), 2e-3);
    }

    private float[] SwiGlu(float[] gate, float[] up)
    {
        using var g = Upload(gate);
        using var u = Upload(up);
        _backend.SwiGlu(g, u, gate.Length);
        return ((DeviceSpan)g).ToArray<float>(gate.Length);
    }

    private void AssertSwiGlu(float[] gate, float[] up, float factor, float[] result)
    {
        for (int i = 0; i < gate.Length; i++)
        {
            double expected = gate[i] / (1 + Math.Exp(-gate[i])) * up[i] * factor;
            Assert.True(Math.Abs(result[i] - expected) <= 1e-6 * Math.Abs(expected) + 1e-35, $"silu({gate[i]}) · {up[i]} = {result[i]}, not {expected} (seed {_seed})");
        }
    }

    private static LlamaConfig Config(RopeStyle style, int heads, int headDim) =>
        SmallConfig.Of(heads, heads, headDim, 1 << 21) with { RopeTheta = 500_000, RopeStyle = style };

    private DeviceBuffer Upload(float[] values)
    {
        var buffer = _backend.Allocate(values.Length * sizeof(float), "test");
        ((DeviceSpan)buffer).Upload<float>(values);
        return buffer;
    }

    public void Dispose() => _backend.Dispose();
}
