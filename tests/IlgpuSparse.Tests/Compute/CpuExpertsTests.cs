using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Compute;

public sealed class CpuExpertsTests : IDisposable
{
    private readonly CpuBackend _backend = new(threads: 3);
    private readonly int _seed = Random.Shared.Next();
    private readonly Random _random;

    public CpuExpertsTests() => _random = new Random(_seed);

    [Theory]
    [InlineData(WeightFormat.F32, 8, 2, 1)]
    [InlineData(WeightFormat.Q8_0, 8, 2, 3)]
    [InlineData(WeightFormat.F16, 4, 1, 17)]
    [InlineData(WeightFormat.Q4_K, 5, 5, 40)]
    [InlineData(WeightFormat.BF16, 3, 2, 300)] // more rows an expert than are multiplied at a time
    public void MatchesANaiveLoop(WeightFormat format, int experts, int active, int rows)
    {
        int hidden = RandomWeights.ColumnsFor(format, 40), intermediate = RandomWeights.ColumnsFor(format, 50);
        RandomWeights[] gate = Make(intermediate, hidden), up = Make(intermediate, hidden), down = Make(hidden, intermediate);
        RandomWeights[] Make(int r, int c) => [.. Enumerable.Range(0, experts).Select(_ => new RandomWeights(_random, format, r, c))];
        using var weights = new ExpertWeights([.. gate.Select(w => w.Load(_backend))], [.. up.Select(w => w.Load(_backend))], [.. down.Select(w => w.Load(_backend))], active);

        float[] x = [.. RandomWeights.Normals(_random, rows * hidden).Select(v => v / MathF.Sqrt(hidden))];
        float[] logits = RandomWeights.Normals(_random, rows * experts), y = RandomWeights.Normals(_random, rows * hidden);
        using var input = Upload(x);
        using var router = Upload(logits);
        using var output = Upload(y);
        _backend.ExpertMlp(weights, input, rows, router, output);
        float[] result = ((DeviceSpan)output).ToArray<float>(y.Length);
        for (int row = 0; row < rows; row++)
        {
            var (expected, size) = Naive(gate, up, down, active, x.AsSpan(row * hidden, hidden), logits.AsSpan(row * experts, experts));
            for (int c = 0; c < hidden; c++)
            {
                double error = Math.Abs(result[row * hidden + c] - y[row * hidden + c] - expected[c]);
                Assert.True(error <= 3e-6 * (size[c] + Math.Abs(y[row * hidden + c])), $"{format}: y[{row}, {c}] is off by {error} of {size[c]} (seed {_seed})");
            }
        }
    }

    [Fact]
    public unsafe void EqualLogitsGoToTheLowerExpert()
    {
        float[] logits = [1, 3, 3, 3, 0], weights = new float[2];
        int[] chosen = new int[2];
        fixed (float* l = logits, w = weights)
        fixed (int* c = chosen) ExpertRouting.Route(l, 5, 2, c, w);
        Assert.Equal([1, 2], chosen);
        Assert.Equal([0.5f, 0.5f], weights);
    }

    [Fact]
    public unsafe void HugeLogitsDoNotOverflow()
    {
        float[] logits = [-3e38f, 3e38f, 1e38f], weights = new float[2];
        int[] chosen = new int[2];
        fixed (float* l = logits, w = weights)
        fixed (int* c = chosen) ExpertRouting.Route(l, 3, 2, c, w);
        Assert.Equal([1, 2], chosen);
        Assert.Equal([1f, 0f], weights);
    }

    [Fact]
    public void DecodeAllocatesNothingAndReadsOnlyTheActiveExperts()
    {
        // Experts that are not routed to have no weights at all: touching one would throw.
        const int Hidden = 32, Intermediate = 64;
        WeightMatrix Real(int r, int c) => new RandomWeights(_random, WeightFormat.Q8_0, r, c).Load(_backend);
        WeightMatrix Gone(int r, int c)
        {
            var matrix = Real(r, c);
            matrix.Dispose();
            return matrix;
        }
        using var weights = new ExpertWeights([Real(Intermediate, Hidden), Gone(Intermediate, Hidden), Real(Intermediate, Hidden)],
            [Real(Intermediate, Hidden), Gone(Intermediate, Hidden), Real(Intermediate, Hidden)], [Real(Hidden, Intermediate), Gone(Hidden, Intermediate), Real(Hidden, Intermediate)], 2);
        using var x = Upload(RandomWeights.Normals(_random, Hidden));
        using var router = Upload([2, -5, 3]);
        using var y = Upload(new float[Hidden]);
        _backend.ExpertMlp(weights, x, 1, router, y);
        long before = GC.GetAllocatedBytesForCurrentThread();
        _backend.ExpertMlp(weights, x, 1, router, y);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public void ImpossibleActiveCountIsRefused(int active)
    {
        WeightMatrix[] gate = [.. Enumerable.Range(0, 2).Select(_ => new RandomWeights(_random, WeightFormat.F32, 4, 4).Load(_backend))];
        using var weights = new ExpertWeights(gate, gate, gate, active);
        using var x = Upload(new float[4]);
        using var router = Upload(new float[4]);
        using var y = Upload(new float[4]);
        Assert.Throws<ArgumentException>(() => _backend.ExpertMlp(weights, x, 1, router, y));
    }

    private static (double[] Y, double[] Size) Naive(RandomWeights[] gate, RandomWeights[] up, RandomWeights[] down, int active, ReadOnlySpan<float> x, ReadOnlySpan<float> logits)
    {
        double[] p = new double[logits.Length];
        double largest = float.NegativeInfinity, total = 0;
        foreach (float l in logits) largest = Math.Max(largest, l);
        for (int e = 0; e < p.Length; e++) total += p[e] = Math.Exp(logits[e] - largest);
        for (int e = 0; e < p.Length; e++) p[e] /= total;
        int[] kept = [.. Enumerable.Range(0, p.Length).OrderByDescending(e => p[e]).Take(active)];
        double keptTotal = kept.Sum(e => p[e]);

        int hidden = x.Length, intermediate = gate[0].Rows;
        double[] y = new double[hidden], size = new double[hidden];
        foreach (int e in kept)
        {
            double[] h = new double[intermediate];
            double[] hSize = new double[intermediate];
            for (int i = 0; i < intermediate; i++)
            {
                double g = 0, u = 0, gSize = 0, uSize = 0;
                for (int c = 0; c < hidden; c++)
                {
                    double gp = gate[e].Values[i * hidden + c] * x[c], up1 = up[e].Values[i * hidden + c] * x[c];
                    (g, u, gSize, uSize) = (g + gp, u + up1, gSize + Math.Abs(gp), uSize + Math.Abs(up1));
                }
                h[i] = g / (1 + Math.Exp(-g)) * u;
                hSize[i] = gSize * uSize;
            }
            for (int c = 0; c < hidden; c++)
            {
                for (int i = 0; i < intermediate; i++)
                {
                    y[c] += p[e] / keptTotal * h[i] * down[e].Values[c * intermediate + i];
                    size[c] += p[e] / keptTotal * hSize[i] * Math.Abs(down[e].Values[c * intermediate + i]);
                }
            }
        }
        return (y, size);
    }

    private DeviceBuffer Upload(float[] values)
    {
        var buffer = _backend.Allocate(values.Length * sizeof(float), "test");
        ((DeviceSpan)buffer).Upload<float>(values);
        return buffer;
    }

    public void Dispose() => _backend.Dispose();
}
