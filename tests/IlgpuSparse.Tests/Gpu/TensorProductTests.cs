using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Products;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;
using static IlgpuSparse.Tests.Compute.ActivationRows;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>
/// Products of many rows on tensor cores against double precision: emulated on ILGPU's CPU accelerator with a small tile, and on CUDA with every tile.
/// </summary>
[Collection("accelerators")]
public sealed class TensorProductTests(Accelerators accelerators)
{
    private readonly int _seed = Random.Shared.Next();

    public static TheoryData<WeightFormat, ProductPrecision> Cases =>
        [.. from format in Enum.GetValues<WeightFormat>() where format != WeightFormat.F32 from precision in Enum.GetValues<ProductPrecision>() select (format, precision)];

    [Theory]
    [InlineData(WeightFormat.F16, ProductPrecision.Half)]
    [InlineData(WeightFormat.F16, ProductPrecision.Single)]
    [InlineData(WeightFormat.BF16, ProductPrecision.Half)]
    [InlineData(WeightFormat.BF16, ProductPrecision.Single)]
    [InlineData(WeightFormat.Q8_0, ProductPrecision.Half)]
    [InlineData(WeightFormat.Q6_K, ProductPrecision.Single)]
    public void EmulatedProducts(WeightFormat format, ProductPrecision precision)
    {
        using var backend = GpuBackend.CreateEmulatingTensorCores(accelerators.Open(GpuKind.CpuAccelerator), precision);
        backend.TensorMatMul!.Tiles = [ProductTile.Of<TinyTile>(1, 1)];
        Check(backend, format, precision, rows: 37, outputs: 38, inputs: 136);
    }

    [Theory]
    [InlineData(WeightFormat.F16)]
    [InlineData(WeightFormat.Q8_0)]
    public void EmulatedSplits(WeightFormat format)
    {
        using var backend = GpuBackend.CreateEmulatingTensorCores(accelerators.Open(GpuKind.CpuAccelerator), ProductPrecision.Half);
        backend.TensorMatMul!.Tiles = [ProductTile.Of<TinyTile>(1, 1)];
        backend.TensorMatMul.FixedSplits = 3;
        Check(backend, format, ProductPrecision.Half, rows: 33, outputs: 34, inputs: 328);
    }

    [Fact]
    public void EmulatedSmallTile()
    {
        using var backend = GpuBackend.CreateEmulatingTensorCores(accelerators.Open(GpuKind.CpuAccelerator), ProductPrecision.Half);
        backend.TensorMatMul!.Tiles = [ProductTile.Of<SmallTile>(1, 1)];
        Check(backend, WeightFormat.F16, ProductPrecision.Half, rows: 70, outputs: 66, inputs: 72);
    }

    [Theory]
    [InlineData(16, 130)]
    [InlineData(33, 126)]
    public void EmulatedSlimTile(int rows, int outputs)
    {
        using var backend = GpuBackend.CreateEmulatingTensorCores(accelerators.Open(GpuKind.CpuAccelerator), ProductPrecision.Half);
        backend.TensorMatMul!.Tiles = [ProductTile.Of<SlimTile>(1, 1)];
        Check(backend, WeightFormat.F16, ProductPrecision.Half, rows, outputs, inputs: 328);
    }

    [Theory]
    [InlineData(ProductPrecision.Half, WeightFormat.F16, 16, nameof(TensorProductKernel))]
    [InlineData(ProductPrecision.Half, WeightFormat.F16, 8, "LinearKernel")]
    [InlineData(ProductPrecision.Half, WeightFormat.Q8_0, 16, "LinearKernel")]
    [InlineData(ProductPrecision.Single, WeightFormat.F16, 16, "LinearKernel")]
    public void FewRowsAreRoundedWhereThatIsAskedFor(ProductPrecision precision, WeightFormat format, int rows, string kernel)
    {
        var kernels = new List<string>();
        using var backend = GpuBackend.CreateEmulatingTensorCores(accelerators.Open(GpuKind.CpuAccelerator), precision);
        backend.TensorMatMul!.Tiles = [ProductTile.Of<TinyTile>(1, 1)];
        backend.Device.Before = kernels.Add;
        try
        {
            Check(backend, format, precision, rows, outputs: 32, inputs: 256);
        }
        finally
        {
            backend.Device.Before = null;
        }
        Assert.Contains(kernels, name => name.StartsWith(kernel, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(9)]
    [InlineData(16)]
    [InlineData(32)]
    public void RowsOfAFewSequencesTakeASlimTile(int rows) =>
        Assert.All(new[] { (4096, 4096), (22_016, 4096), (4096, 11_008), (32_000, 4096) }, matrix => Assert.Equal(typeof(SlimTile), ProductTile.Choose(ProductTile.All, rows, matrix.Item1, matrix.Item2 / 64, 132, 16).Tile.Type));

    [Theory]
    [InlineData(WeightFormat.F16, ProductPrecision.Half, 0, 70, 390, 328)]
    [InlineData(WeightFormat.BF16, ProductPrecision.Single, 0, 65, 262, 72)]
    [InlineData(WeightFormat.Q8_0, ProductPrecision.Single, 3, 33, 18, 328)]
    public void EmulatedWarpgroups(WeightFormat format, ProductPrecision precision, int splits, int rows, int outputs, int inputs)
    {
        using var backend = GpuBackend.CreateEmulatingTensorCores(accelerators.Open(GpuKind.CpuAccelerator), precision);
        backend.TensorMatMul!.Tiles = [ProductTile.Of<OneWarpgroup>(1, 1, warpgroups: true)];
        backend.TensorMatMul.FixedSplits = splits;
        Check(backend, format, precision, rows, outputs, inputs);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void CudaProducts(WeightFormat format, ProductPrecision precision)
    {
        using var backend = GpuBackend.Create(accelerators.Open(GpuKind.Cuda), leaveOpen: true, precision);
        Assert.SkipWhen(backend.TensorMatMul is null, "no tensor cores");
        foreach (var tile in ProductTile.On(backend.Device))
        {
            foreach (int splits in new[] { 1, 3 })
            {
                backend.TensorMatMul.Tiles = [tile];
                backend.TensorMatMul.FixedSplits = splits;
                Check(backend, format, precision, rows: 300, outputs: 518, inputs: 1096);
                Check(backend, format, precision, rows: 33, outputs: 66, inputs: 264);
            }
        }
        backend.TensorMatMul.Tiles = ProductTile.On(backend.Device);
        backend.TensorMatMul.FixedSplits = 0;
        Check(backend, format, precision, rows: 129, outputs: 1026, inputs: 2056);
    }

    [Fact]
    public void LargeActivationsDoNotOverflow()
    {
        using var backend = GpuBackend.CreateEmulatingTensorCores(accelerators.Open(GpuKind.CpuAccelerator), ProductPrecision.Half);
        backend.TensorMatMul!.Tiles = [ProductTile.Of<TinyTile>(1, 1)];
        Check(backend, WeightFormat.F16, ProductPrecision.Half, rows: 33, outputs: 16, inputs: 64, spread: 1e7f);
        Check(backend, WeightFormat.F16, ProductPrecision.Half, rows: 33, outputs: 16, inputs: 64, spread: 1e-12f);
        Check(backend, WeightFormat.F16, ProductPrecision.Half, rows: 33, outputs: 16, inputs: 64, spread: 0f);
    }

    [Theory]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.F16, ProductPrecision.Half, false)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.BF16, ProductPrecision.Single, false)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.F16, ProductPrecision.Half, true)]
    [InlineData(GpuKind.Cuda, WeightFormat.F16, ProductPrecision.Half, false)]
    [InlineData(GpuKind.Cuda, WeightFormat.F16, ProductPrecision.Half, true)]
    [InlineData(GpuKind.Cuda, WeightFormat.BF16, ProductPrecision.Half, false)]
    [InlineData(GpuKind.Cuda, WeightFormat.BF16, ProductPrecision.Half, true)]
    [InlineData(GpuKind.Cuda, WeightFormat.F16, ProductPrecision.Single, false)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_0, ProductPrecision.Single, true)]
    public void NormsAreFusedWithRounding(GpuKind kind, WeightFormat format, ProductPrecision precision, bool warpgroups)
    {
        var device = accelerators.Open(kind);
        using var backend = kind == GpuKind.Cuda ? GpuBackend.Create(device, leaveOpen: true, precision) : GpuBackend.CreateEmulatingTensorCores(device, precision);
        Choose(backend, warpgroups);
        var random = new Random(_seed);
        const int rows = 34, hidden = 96, outputs = 38;
        const float epsilon = 1e-5f;
        RandomWeights gate = new(random, format, outputs, hidden), up = new(random, format, outputs, hidden), norm = new(random, WeightFormat.BF16, 1, hidden);
        float[] x = RandomWeights.Normals(random, rows * hidden);
        using var gateMatrix = gate.Load(backend);
        using var upMatrix = up.Load(backend);
        using var normMatrix = norm.Load(backend);
        using var input = Upload(backend, x);
        using var normed = Upload(backend, x);
        using var gateOut = Upload(backend, new float[rows * outputs]);
        using var upOut = Upload(backend, new float[rows * outputs]);
        using var product = Upload(backend, new float[rows * outputs]);
        backend.GateUp(new GateUpWeights(gateMatrix, upMatrix), new NormedInput(input, normMatrix, epsilon, normed), rows, gateOut, upOut);
        backend.NormMatMul(gateMatrix, new NormedInput(input, normMatrix, epsilon, normed), rows, product);
        float[] result = ((DeviceSpan)gateOut).ToArray<float>(rows * outputs), plain = ((DeviceSpan)product).ToArray<float>(rows * outputs);
        double tolerance = precision == ProductPrecision.Single ? 2e-6 : format == WeightFormat.BF16 ? 1.0 / 256 : 1.0 / 1024;
        for (int row = 0; row < rows; row++)
        {
            double scale = 1 / Math.Sqrt(Enumerable.Range(0, hidden).Average(c => (double)x[row * hidden + c] * x[row * hidden + c]) + epsilon);
            for (int n = 0; n < outputs; n++)
            {
                double g = 0, u = 0, gSize = 0, uSize = 0;
                for (int c = 0; c < hidden; c++)
                {
                    double v = x[row * hidden + c] * scale * norm.Values[c], toGate = v * gate.Values[n * hidden + c], toUp = v * up.Values[n * hidden + c];
                    g += toGate;
                    u += toUp;
                    gSize += Math.Abs(toGate);
                    uSize += Math.Abs(toUp);
                }
                double silu = g / (1 + Math.Exp(-g)), slack = tolerance * (1.1 * gSize * (Math.Abs(u) + tolerance * uSize) + uSize * Math.Abs(silu)) + 1e-6;
                Assert.True(Math.Abs(plain[row * outputs + n] - g) <= tolerance * gSize + 1e-6, $"norm: y[{row}, {n}] is {plain[row * outputs + n]}, expected {g} (seed {_seed})");
                Assert.True(Math.Abs(result[row * outputs + n] - silu * u) <= slack, $"gate and up: y[{row}, {n}] is {result[row * outputs + n]}, expected {silu * u} ± {slack} (seed {_seed})");
            }
        }
    }

    [Theory]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.F16, 20, false)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q8_0, 18, false)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.F16, 20, true)]
    [InlineData(GpuKind.Cuda, WeightFormat.F16, 300, false)]
    [InlineData(GpuKind.Cuda, WeightFormat.F16, 300, true)]
    [InlineData(GpuKind.Cuda, WeightFormat.BF16, 150, true)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_0, 150, false)]
    public void ExpertsAreThoseOfTheManagedCode(GpuKind kind, WeightFormat format, int rows, bool warpgroups)
    {
        var device = accelerators.Open(kind);
        using var backend = kind == GpuKind.Cuda ? GpuBackend.Create(device, leaveOpen: true) : GpuBackend.CreateEmulatingTensorCores(device);
        Choose(backend, warpgroups);
        using var cpu = new CpuBackend(1);
        var random = new Random(_seed);
        const int experts = 3, active = 2, hidden = 32, intermediate = 64;
        RandomWeights[] Make(int r, int c) => [.. Enumerable.Range(0, experts).Select(_ => new RandomWeights(random, format, r, c))];
        RandomWeights[] gate = Make(intermediate, hidden), up = Make(intermediate, hidden), down = Make(hidden, intermediate);
        float[] x = [.. RandomWeights.Normals(random, rows * hidden).Select(v => v / 6)];
        float[] logits = RandomWeights.Normals(random, rows * experts), y = RandomWeights.Normals(random, rows * hidden);
        float[] expected = Run(cpu), actual = Run(backend);
        float size = expected.Max(MathF.Abs);
        for (int i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - actual[i]) <= 2e-5 * size, $"{format}: row {i / hidden}, output {i % hidden} is {actual[i]}, expected {expected[i]} (seed {_seed})");

        float[] Run(ComputeBackend on)
        {
            using var weights = new ExpertWeights([.. gate.Select(w => w.Load(on))], [.. up.Select(w => w.Load(on))], [.. down.Select(w => w.Load(on))], active);
            using var input = Upload(on, x);
            using var router = Upload(on, logits);
            using var output = Upload(on, y);
            on.ExpertMlp(weights, input, rows, router, output);
            return ((DeviceSpan)output).ToArray<float>(y.Length);
        }
    }

    [Theory]
    [InlineData(4096, 4096, 4096, 1)]
    [InlineData(64, 4096, 4096, 2)]
    public void SplitsFillTheDevice(int rows, int outputs, int inputs, int atLeast)
    {
        var (tile, splits) = ProductTile.Choose(ProductTile.All, rows, outputs, inputs / TensorProductKernel.Depth, 132, 16);
        Assert.True(splits >= atLeast && (atLeast > 1 || splits == 1), $"{tile.Rows} by {tile.Outputs}, {splits} splits");
    }

    // a tile that the emulator can afford, or the warpgroups' own where the device has them
    private static void Choose(GpuBackend backend, bool warpgroups)
    {
        var products = backend.TensorMatMul!;
        if (backend.Device.Kind != GpuKind.Cuda) products.Tiles = [warpgroups ? ProductTile.Of<OneWarpgroup>(1, 1, warpgroups: true) : ProductTile.Of<TinyTile>(1, 1)];
        else products.Tiles = [.. products.Tiles.Where(tile => tile.Warpgroups == warpgroups)];
        Assert.SkipWhen(products.Tiles.Count == 0, "no products of warpgroups");
    }

    private void Check(GpuBackend backend, WeightFormat format, ProductPrecision precision, int rows, int outputs, int inputs, float spread = 1f)
    {
        var random = new Random(_seed);
        int block = format.BlockElements();
        var weights = new RandomWeights(random, format, outputs, (inputs + block - 1) / block * block);
        int columns = weights.Columns;
        bool accumulate = random.Next(2) == 0;
        var biasFormat = (WeightFormat?[])[null, WeightFormat.F32, WeightFormat.F16, WeightFormat.BF16];
        var bias = biasFormat[random.Next(4)] is { } b ? new RandomWeights(random, b, 1, outputs) : null;
        // rows of very different sizes, and numbers of very different sizes in a row
        float[] x = RandomWeights.Normals(random, rows * columns), y = RandomWeights.Normals(random, rows * outputs);
        for (int i = 0; i < x.Length; i++) x[i] *= spread * (random.Next(10) == 0 ? 1e-3f : 1f) * MathF.Pow(10, i / columns % 5 - 2);
        using var matrix = weights.Load(backend);
        using var biasMatrix = bias?.Load(backend);
        using var input = Upload(backend, x);
        using var output = Upload(backend, y);
        backend.MatMul(matrix, input, rows, output, biasMatrix, accumulate);
        float[] result = ((DeviceSpan)output).ToArray<float>(y.Length);
        // a rounded operand is off by half of its last place, two of them by the sum; sums lose a little of the largest partial sum at every step
        // tensor cores cut off what they align, which adds up over the inner sum; the emulation rounds
        double tolerance = precision == ProductPrecision.Single ? backend.Device.Kind == GpuKind.Cuda ? 4e-6 : 1e-6 : format == WeightFormat.BF16 ? 1.0 / 256 : 1.0 / 1024;
        for (int row = 0; row < rows; row++)
        {
            for (int n = 0; n < outputs; n++)
            {
                // what is added to and the bias may nearly cancel: their sum is rounded by their sizes
                double old = accumulate ? y[row * outputs + n] : 0, shift = bias?.Values[n] ?? 0, expected = old + shift, before = Math.Abs(old) + Math.Abs(shift), size = 0;
                for (int c = 0; c < columns; c++)
                {
                    double product = weights.Values[n * columns + c] * x[row * columns + c];
                    expected += product;
                    size += Math.Abs(product);
                }
                float actual = result[row * outputs + n];
                Assert.True(Math.Abs(actual - expected) <= tolerance * size + 1e-6 * before,
                    $"{format} {precision}, {rows} rows of {columns}: y[{row}, {n}] is {actual}, expected {expected} ± {tolerance * size + 1e-6 * before} (seed {_seed})");
            }
        }
    }
}
