using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;
using static IlgpuSparse.Tests.Compute.ActivationRows;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>
/// The products of decode steps against double precision, of activations as they are and normalised: on CUDA, and on ILGPU's CPU accelerator with the matrix instructions emulated lane by lane. Outputs are poisoned
/// beforehand, and it is checked that the kernel took the work and not its stand-in.
/// </summary>
[Collection("accelerators")]
public sealed class LinearKernelTests(Accelerators accelerators)
{
    private readonly int _seed = Random.Shared.Next();

    public static TheoryData<GpuKind, WeightFormat> KindsAndFormats =>
        [.. from kind in new[] { GpuKind.CpuAccelerator, GpuKind.Cuda } from format in Enum.GetValues<WeightFormat>() where format != WeightFormat.F32 select (kind, format)];

    [Theory]
    [MemberData(nameof(KindsAndFormats))]
    public void Products(GpuKind kind, WeightFormat format)
    {
        Product(kind, format, outputs: 37, rows: 1, inputs: 96);
        Product(kind, format, outputs: 19, rows: 1, inputs: 2304); // several rounds of what a lane has under way, and rows of whole 16 bytes in more formats
        Product(kind, format, outputs: 5, rows: 3, inputs: 296);
        Product(kind, format, outputs: 16, rows: 8, inputs: 32);
        if (kind == GpuKind.CpuAccelerator) return;
        foreach (int rows in (int[])[1, 2, 4, 7, 8]) Product(kind, format, outputs: 4099, rows, inputs: 2784);
        Product(kind, format, outputs: 9001, rows: 1, inputs: 11_008);
    }

    public static TheoryData<GpuKind, WeightFormat> KindsAndRowFormats =>
        [.. from kind in new[] { GpuKind.CpuAccelerator, GpuKind.Cuda } from format in new[] { WeightFormat.F16, WeightFormat.BF16, WeightFormat.Q8_0, WeightFormat.Q4_K } select (kind, format)];

    [Theory]
    [MemberData(nameof(KindsAndRowFormats))]
    public void ProductsOfASingleRow(GpuKind kind, WeightFormat format)
    {
        // more stages than a ring has, and a warp's share that begins and ends inside of rows
        Product(kind, format, outputs: 23, rows: 1, inputs: 4864);
        if (kind == GpuKind.CpuAccelerator) return;
        Product(kind, format, outputs: 11_008, rows: 1, inputs: 4096);
        Product(kind, format, outputs: 4096, rows: 1, inputs: 11_008);
        Product(kind, format, outputs: 4096, rows: 1, inputs: 14_336);
    }

    private void Product(GpuKind kind, WeightFormat format, int outputs, int rows, int inputs, bool plain = false)
    {
        var device = accelerators.Open(kind);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        var random = new Random(_seed + rows);
        using var weights = new LoadedWeights(random, backend, format, outputs, inputs);
        var biasFormat = (WeightFormat?[])[null, WeightFormat.F32, WeightFormat.F16, WeightFormat.BF16];
        using var bias = biasFormat[random.Next(4)] is { } b ? new LoadedWeights(random, backend, b, 1, outputs) : null;
        using var norm = !plain && random.Next(2) == 0 ? new LoadedWeights(random, backend, biasFormat[random.Next(1, 4)]!.Value, 1, weights.Columns) : null;
        bool accumulate = random.Next(2) == 0;
        float[] x = Activations(random, rows * weights.Columns), y = RandomWeights.Normals(random, rows * outputs);
        if (!accumulate) Array.Fill(y, float.NaN);
        using var input = Upload(backend, x);
        using var output = Upload(backend, y);
        var linear = new GpuLinear(device, tensorCores: true, maps: null);
        Assert.True(linear.TryProduct(weights.Loaded, new LinearInputs(input, rows, norm?.Loaded, 1e-5f), output, bias?.Loaded, accumulate, device.Stream));
        float[] result = ((DeviceSpan)output).ToArray<float>(y.Length);
        for (int row = 0; row < rows; row++)
        {
            double[] v = Normed(x.AsSpan(row * weights.Columns, weights.Columns), norm?.Values, 1e-5f);
            for (int n = 0; n < outputs; n++)
            {
                var (expected, size) = weights.Dot(n, v, (accumulate ? y[row * outputs + n] : 0) + (bias?.Values.Values[n] ?? 0));
                Near(expected, result[row * outputs + n], 1e-6 * size, $"{format}, {rows} rows of {weights.Columns}{(norm is null ? "" : ", normed")}: y[{row}, {n}]", _seed);
            }
        }
    }

    [Theory]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.F16)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q6_K)]
    [InlineData(GpuKind.Cuda, WeightFormat.F16)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q8_0)]
    public void ActivationsThatDoNotFitAreTakenInSlices(GpuKind kind, WeightFormat format)
    {
        // 8 rows of 22 bits need 256 KB of shared memory at 8192
        if (kind == GpuKind.CpuAccelerator) Product(kind, format, outputs: 3, rows: 8, inputs: 8192 + 256, plain: true);
        else Product(kind, format, outputs: 517, rows: 7, inputs: 21_760, plain: true);
    }

    [Fact]
    public void WhatItCannotDoIsLeftToOthers()
    {
        var device = accelerators.Open(GpuKind.CpuAccelerator);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        var random = new Random(_seed);
        using var buffer = backend.Allocate(1 << 16, "test");
        using var single = new LoadedWeights(random, backend, WeightFormat.F32, 4, 32);
        using var odd = new LoadedWeights(random, backend, WeightFormat.F16, 4, 36);
        using var good = new LoadedWeights(random, backend, WeightFormat.F16, 4, 32);
        bool Try(LoadedWeights weights, int rows, bool tensorCores = true) =>
            new GpuLinear(device, tensorCores, maps: null).TryProduct(weights.Loaded, new LinearInputs(buffer, rows), buffer, null, false, device.Stream);
        Assert.False(Try(single, 1)); // no exact 16-bit form
        Assert.False(Try(odd, 1)); // rows of 72 bytes
        Assert.False(Try(good, 17)); // more rows than column tiles
        Assert.False(Try(good, 1, tensorCores: false));
        Assert.True(Try(good, 1));
    }

    // Sizes apart by orders of magnitude, as activations have them.
    private static float[] Activations(Random random, int count) => [.. RandomWeights.Normals(random, count).Select(v => random.Next(16) == 0 ? v * 1000 : random.Next(4) == 0 ? v / 1000 : v)];
}
