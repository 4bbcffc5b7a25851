using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;
using IlgpuSparse.Tests.Llama;
using static IlgpuSparse.Tests.Compute.ActivationRows;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>The linear operations on every kind of accelerator that is there, against double precision. Shapes are tiny: the CPU accelerator has a thread of the operating system for each GPU thread.</summary>
[Collection("accelerators")]
public sealed class GpuLinearTests(Accelerators accelerators)
{
    private readonly int _seed = Random.Shared.Next();

    public static TheoryData<GpuKind> Kinds => [.. Enum.GetValues<GpuKind>()];

    public static TheoryData<GpuKind, WeightFormat> KindsAndFormats => [.. from kind in Enum.GetValues<GpuKind>() from format in Enum.GetValues<WeightFormat>() select (kind, format)];

    [Theory]
    [MemberData(nameof(KindsAndFormats))]
    public void ProductsOfAFewRows(GpuKind kind, WeightFormat format)
    {
        foreach (int rows in (int[])[1, 2, 3, 7]) CheckProduct(kind, format, outputs: 5, rows, inputs: 76);
        if (kind != GpuKind.CpuAccelerator) CheckProduct(kind, format, outputs: 517, rows: 5, inputs: 1500);
    }

    [Theory]
    [MemberData(nameof(KindsAndFormats))]
    public void ProductsOfManyRows(GpuKind kind, WeightFormat format)
    {
        CheckProduct(kind, format, outputs: 35, rows: 9, inputs: 76);
        if (kind != GpuKind.CpuAccelerator) CheckProduct(kind, format, outputs: 517, rows: 143, inputs: 1500);
    }

    private void CheckProduct(GpuKind kind, WeightFormat format, int outputs, int rows, int inputs)
    {
        using var backend = GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
        var random = new Random(_seed + rows);
        int block = format.BlockElements();
        var weights = new RandomWeights(random, format, outputs, block == 1 ? inputs : (inputs + block - 1) / block * block);
        bool accumulate = random.Next(2) == 0;
        var biasFormat = (WeightFormat?[])[null, WeightFormat.F32, WeightFormat.F16, WeightFormat.BF16];
        var bias = biasFormat[random.Next(4)] is { } b ? new RandomWeights(random, b, 1, outputs) : null;
        float[] x = RandomWeights.Normals(random, rows * weights.Columns), y = RandomWeights.Normals(random, rows * outputs);
        using (var matrix = weights.Load(backend))
        using (var biasMatrix = bias?.Load(backend))
        using (var input = Upload(backend, x))
        using (var output = Upload(backend, y))
        {
            backend.MatMul(matrix, input, rows, output, biasMatrix, accumulate);
            float[] result = ((DeviceSpan)output).ToArray<float>(y.Length);
            for (int row = 0; row < rows; row++)
            {
                for (int n = 0; n < outputs; n++)
                {
                    double expected = (accumulate ? y[row * outputs + n] : 0) + (bias?.Values[n] ?? 0), size = Math.Abs(expected);
                    for (int c = 0; c < weights.Columns; c++)
                    {
                        double product = weights.Values[n * weights.Columns + c] * x[row * weights.Columns + c];
                        expected += product;
                        size += Math.Abs(product);
                    }
                    Near(expected, result[row * outputs + n], 1e-6 * size, $"{format}, {rows} rows of {weights.Columns}: y[{row}, {n}]", _seed);
                }
            }
        }
        Assert.Equal(0, backend.Memory.LiveBytes);
    }

    [Theory]
    [MemberData(nameof(KindsAndFormats))]
    public void EmbeddingDecodesRows(GpuKind kind, WeightFormat format)
    {
        using var backend = GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
        var random = new Random(_seed);
        int block = format.BlockElements(), columns = block == 1 ? 52 : 2 * block;
        var weights = new RandomWeights(random, format, 7, columns);
        int[] ids = [6, 0, 3, 7, -1];
        using var matrix = weights.Load(backend);
        using var idBuffer = backend.Allocate(ids.Length * sizeof(int), "test");
        ((DeviceSpan)idBuffer).Upload<int>(ids);
        using var output = backend.Allocate((long)ids.Length * columns * sizeof(float), "test");
        backend.Embed(matrix, idBuffer, ids.Length, output);
        float[] result = ((DeviceSpan)output).ToArray<float>(ids.Length * columns);
        for (int row = 0; row < ids.Length; row++)
        {
            for (int c = 0; c < columns; c++)
            {
                if (ids[row] is < 0 or >= 7) Assert.True(float.IsNaN(result[row * columns + c]), $"id {ids[row]} is outside the table");
                else Near(weights.Values[ids[row] * columns + c], result[row * columns + c], 1e-6 * (1 + Math.Abs(weights.Values[ids[row] * columns + c])), $"{format}: x[{row}, {c}]", _seed);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void RmsNorm(GpuKind kind)
    {
        using var backend = GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
        var random = new Random(_seed);
        const int rows = 3, columns = 84;
        const float epsilon = 1e-5f;
        foreach (var format in (WeightFormat[])[WeightFormat.F32, WeightFormat.F16, WeightFormat.BF16])
        {
            var weights = new RandomWeights(random, format, 1, columns);
            float[] x = RandomWeights.Normals(random, rows * columns);
            using var matrix = weights.Load(backend);
            using var buffer = Upload(backend, x);
            backend.RmsNorm(buffer, matrix, epsilon, rows, buffer); // in place
            float[] result = ((DeviceSpan)buffer).ToArray<float>(x.Length);
            for (int row = 0; row < rows; row++)
            {
                double mean = Enumerable.Range(0, columns).Average(c => (double)x[row * columns + c] * x[row * columns + c]);
                for (int c = 0; c < columns; c++)
                {
                    double expected = x[row * columns + c] / Math.Sqrt(mean + epsilon) * weights.Values[c];
                    Near(expected, result[row * columns + c], 2e-6 * (Math.Abs(expected) + 1e-3), $"{format}: y[{row}, {c}]", _seed);
                }
            }
        }
    }

    [Fact]
    public void NormsAndBiasesMustBePlain()
    {
        using var backend = GpuBackend.Create(accelerators.Open(GpuKind.CpuAccelerator), leaveOpen: true);
        var random = new Random(_seed);
        using var quantised = new RandomWeights(random, WeightFormat.Q8_0, 1, 32).Load(backend);
        using var buffer = backend.Allocate(128, "test");
        Assert.Contains("Q8_0", Assert.Throws<ArgumentException>(() => backend.RmsNorm(buffer, quantised, 1e-5f, 1, buffer)).Message, StringComparison.Ordinal);
        Assert.Contains("Q8_0", Assert.Throws<ArgumentException>(() => backend.MatMul(quantised, buffer, 1, buffer, bias: quantised)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void RopeAtAnyPosition(GpuKind kind)
    {
        using var backend = GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
        var random = new Random(_seed);
        const int heads = 3, headDim = 40;
        int[] positions = [0, 1, random.Next(1000, 5000), 131_071, 1_000_003];
        foreach (var style in Enum.GetValues<RopeStyle>())
        {
            var config = SmallConfig.Of(heads, heads, headDim, 1 << 20) with { RopeTheta = 500_000f, RopeStyle = style };
            using var table = new RopeTable(backend, config);
            using var batch = new StepBatch(backend, positions.Length, positions.Length, 1);
            batch.SetDecode(positions, [.. positions.Select(_ => new int[1])]);
            float[] x = RandomWeights.Normals(random, positions.Length * heads * headDim);
            using var buffer = Upload(backend, x);
            backend.Rope(table, batch, heads, buffer);
            float[] result = ((DeviceSpan)buffer).ToArray<float>(x.Length);
            float[] frequencies = RopeTable.Frequencies(config);
            for (int i = 0; i < x.Length / 2; i++)
            {
                int head = i / (headDim / 2), pair = i % (headDim / 2);
                int first = head * headDim + (style == RopeStyle.Interleaved ? 2 * pair : pair), second = first + (style == RopeStyle.Interleaved ? 1 : headDim / 2);
                var (sin, cos) = Math.SinCos((double)positions[head / heads] * frequencies[pair]);
                string what = $"{style}, position {positions[head / heads]}, pair {pair}";
                double tolerance = 3e-6 * (Math.Abs(x[first]) + Math.Abs(x[second]));
                Near(x[first] * cos - x[second] * sin, result[first], tolerance, what, _seed);
                Near(x[second] * cos + x[first] * sin, result[second], tolerance, what, _seed);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void SwiGlu(GpuKind kind)
    {
        using var backend = GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
        var random = new Random(_seed);
        float[] gate = [-200, 200, 0, .. RandomWeights.Normals(random, 134)], up = RandomWeights.Normals(random, gate.Length);
        using var gateBuffer = Upload(backend, gate);
        using var upBuffer = Upload(backend, up);
        backend.SwiGlu(gateBuffer, upBuffer, gate.Length);
        float[] result = ((DeviceSpan)gateBuffer).ToArray<float>(gate.Length);
        for (int i = 0; i < gate.Length; i++)
        {
            double expected = gate[i] / (1 + Math.Exp(-(double)gate[i])) * up[i];
            Near(expected, result[i], 3e-6 * (Math.Abs(expected) + 1e-3), $"number {i}", _seed);
        }
    }

    [Theory]
    [InlineData(GpuKind.CpuAccelerator, 1)]
    [InlineData(GpuKind.CpuAccelerator, 4)]
    [InlineData(GpuKind.OpenCl, 1)]
    [InlineData(GpuKind.OpenCl, 150)]
    [InlineData(GpuKind.Cuda, 1)]
    [InlineData(GpuKind.Cuda, 150)]
    public void Experts(GpuKind kind, int rows)
    {
        using var backend = GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
        var random = new Random(_seed);
        const int experts = 3, active = 2, hidden = 32, intermediate = 64;
        RandomWeights[] Make(int r, int c) => [.. Enumerable.Range(0, experts).Select(_ => new RandomWeights(random, WeightFormat.Q8_0, r, c))];
        RandomWeights[] gate = Make(intermediate, hidden), up = Make(intermediate, hidden), down = Make(hidden, intermediate);
        using var weights = new ExpertWeights([.. gate.Select(w => w.Load(backend))], [.. up.Select(w => w.Load(backend))], [.. down.Select(w => w.Load(backend))], active);
        float[] x = [.. RandomWeights.Normals(random, rows * hidden).Select(v => v / 6)];
        float[] logits = RandomWeights.Normals(random, rows * experts), y = RandomWeights.Normals(random, rows * hidden);
        logits[1] = logits[0]; // equal ones: the lower expert first
        using var input = Upload(backend, x);
        using var router = Upload(backend, logits);
        using var output = Upload(backend, y);
        backend.ExpertMlp(weights, input, rows, router, output);
        float[] result = ((DeviceSpan)output).ToArray<float>(y.Length);
        for (int row = 0; row < rows; row++)
        {
            var order = Enumerable.Range(0, experts).OrderByDescending(e => logits[row * experts + e]).ThenBy(e => e).Take(active).ToArray();
            double total = order.Sum(e => Math.Exp(logits[row * experts + e]));
            var expected = new double[hidden];
            foreach (int e in order)
            {
                double[] input64 = [.. x.Skip(row * hidden).Take(hidden).Select(v => (double)v)];
                double[] g = Multiply(gate[e], input64), u = Multiply(up[e], input64);
                double[] d = Multiply(down[e], [.. g.Zip(u, (a, b) => a / (1 + Math.Exp(-a)) * b)]);
                for (int c = 0; c < hidden; c++) expected[c] += Math.Exp(logits[row * experts + e]) / total * d[c];
            }
            double size = expected.Max(Math.Abs);
            for (int c = 0; c < hidden; c++)
                Near(y[row * hidden + c] + expected[c], result[row * hidden + c], 1e-5 * (size + Math.Abs(y[row * hidden + c])), $"y[{row}, {c}]", _seed);
        }
    }

    private static double[] Multiply(RandomWeights weights, double[] x) =>
        [.. Enumerable.Range(0, weights.Rows).Select(n => Enumerable.Range(0, weights.Columns).Sum(c => weights.Values[n * weights.Columns + c] * x[c]))];
}
