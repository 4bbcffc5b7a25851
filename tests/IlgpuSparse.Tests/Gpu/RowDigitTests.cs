using System.Buffers.Binary;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;
using static IlgpuSparse.Tests.Compute.ActivationRows;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>
/// Products of one row with weights of small integers where they are hardest: codes, scales and activations as large as can be, numbers of all sizes beside each other, rows that do not fill a tile and columns that do not fill
/// a stage. The bounds are those of the methods: half a unit of each number, a unit being a part of the largest of 256 (digits for Q4_K, and where maps copy weights; two halves for Q8_0 else), and the roundings of single precision.
/// </summary>
[Collection("accelerators")]
public sealed class RowDigitTests(Accelerators accelerators)
{
    private const int Outputs = 11, MappedOutputs = 16;

    private readonly int _seed = Random.Shared.Next();

    /// <summary>Devices, formats, and whether maps copy weights: to those of Q4_K that is the same (<see cref="StageMapTests"/>).</summary>
    public static TheoryData<GpuKind, WeightFormat, bool> KindsAndFormats =>
        [.. from kind in new[] { GpuKind.CpuAccelerator, GpuKind.Cuda } from form in new[] { (WeightFormat.Q4_K, false), (WeightFormat.Q8_0, false), (WeightFormat.Q8_0, true), (WeightFormat.Q4_0, true), (WeightFormat.Q6_K, true) } select (kind, form.Item1, form.Item2)];

    // rows of whole units of 16 bytes
    private static int InputsOf(WeightFormat format) => format == WeightFormat.Q6_K ? 2048 : 5 * 256;

    [Theory]
    [MemberData(nameof(KindsAndFormats))]
    public void NumbersOfAllSizes(GpuKind kind, WeightFormat format, bool byMaps)
    {
        var random = new Random(_seed);
        int inputs = InputsOf(format);
        float full = MathF.BitDecrement(2f);
        float Any(int power) => (random.Next(2) == 0 ? 1 : -1) * (1 + random.NextSingle()) * MathF.Pow(10f, random.Next(-power, power + 1));
        Check(kind, format, byMaps, random,
        [
            ("largest digits", [.. Enumerable.Repeat(full, inputs)]),
            ("smallest digits", [.. Enumerable.Repeat(-full, inputs)]),
            ("1e-30 to 1e30", [.. Enumerable.Range(0, inputs).Select(_ => Any(30))]),
            ("1e-3 to 1e3", [.. Enumerable.Range(0, inputs).Select(i => i % 7 == 0 ? 0f : Any(3))]),
            ("one of 1e30", [.. Enumerable.Range(0, inputs).Select(i => i == 700 ? 1e30f : RandomWeights.Normal(random))]),
            ("one alone", [.. Enumerable.Range(0, inputs).Select(i => i == inputs - 1 ? -3f : 0f)]),
            ("hardly any", [.. Enumerable.Range(0, inputs).Select(_ => Any(2) * 1e-37f)]),
            ("none", new float[inputs]),
        ]);
    }

    [Theory]
    [MemberData(nameof(KindsAndFormats))]
    public void WhatIsNoNumberStaysNone(GpuKind kind, WeightFormat format, bool byMaps)
    {
        var device = Open(kind, byMaps);
        int inputs = InputsOf(format);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        using var weights = new LoadedWeights(new Random(_seed), backend, format, byMaps ? MappedOutputs : Outputs, inputs);
        foreach (float value in (float[])[float.NaN, -float.NaN, float.PositiveInfinity, float.NegativeInfinity])
        {
            float[] x = RandomWeights.Normals(new Random(_seed), inputs);
            x[_seed % inputs] = value;
            Assert.All(Product(new GpuLinear(device, tensorCores: true, maps: byMaps ? device.Maps : null) { FewestStages = 1 }, device, backend, weights.Loaded, x, filled: 0f), y => Assert.False(float.IsFinite(y), $"{value} at {_seed % inputs}: {y}"));
        }
    }

    [Theory]
    [MemberData(nameof(KindsAndFormats))]
    public void ActivationsComeByTheCopyEngineOrThroughRegisters(GpuKind kind, WeightFormat format, bool byMaps)
    {
        var device = Open(kind, byMaps);
        int inputs = InputsOf(format);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        using var weights = new LoadedWeights(new Random(_seed), backend, format, byMaps ? MappedOutputs : Outputs, inputs);
        float[] x = RandomWeights.Normals(new Random(_seed), inputs);
        bool bulk = device.CopiesInBulk;
        try
        {
            float[] Run(bool copies)
            {
                device.CopiesInBulk = copies;
                return Product(new GpuLinear(device, tensorCores: true, maps: byMaps ? device.Maps : null) { FewestStages = 1 }, device, backend, weights.Loaded, x, filled: float.NaN);
            }
            float[] expected = Run(bulk);
            Assert.All(expected, y => Assert.True(float.IsFinite(y)));
            Assert.Equal(expected, Run(false));
        }
        finally
        {
            device.CopiesInBulk = bulk;
        }
    }

    private void Check(GpuKind kind, WeightFormat format, bool byMaps, Random random, (string Name, float[] X)[] rows)
    {
        var device = Open(kind, byMaps);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        int outputs = byMaps ? MappedOutputs : Outputs, inputs = InputsOf(format);
        var weights = new RandomWeights(random, format, outputs, inputs);
        int size = format.BlockBytes(), block = format.BlockElements(), blocks = inputs / block;
        double[] terms = new double[outputs];
        for (int b = 0; b < outputs * blocks; b++)
        {
            var bytes = weights.Bytes.AsSpan(b * size, size);
            if (b / blocks < 3) Extreme(format, b / blocks, bytes);
            RandomWeights.Decode(format, bytes, weights.Values.AsSpan(b * block, block));
            terms[b / blocks] = Math.Max(terms[b / blocks], Largest(format, bytes));
        }
        using var matrix = weights.Load(backend);
        var linear = new GpuLinear(device, tensorCores: true, maps: byMaps ? device.Maps : null) { FewestStages = 1 };
        foreach (var (name, x) in rows)
        {
            float[] result = Product(linear, device, backend, matrix, x, filled: float.NaN);
            double sizes = x.Sum(v => (double)Math.Abs(v)), rounded = Rounded(format, byMaps, x);
            for (int n = 0; n < outputs; n++)
            {
                double expected = 0;
                for (int c = 0; c < inputs; c++) expected += weights.Values[n * inputs + c] * x[c];
                // some twenty roundings: of sums whose digits are up to three times as large, or of tensor cores, which cut off
                Near(expected, result[n], terms[n] * (4e-6 * sizes + rounded), $"{format}, {name}: y[{n}]", _seed);
            }
        }
    }

    // One row's product; what the outputs hold before shows whether they are written.
    private static float[] Product(GpuLinear linear, GpuDevice device, GpuBackend backend, WeightMatrix weights, float[] x, float filled)
    {
        using var input = Upload(backend, x);
        using var output = Upload(backend, [.. Enumerable.Repeat(filled, weights.Rows)]);
        Assert.True(linear.TryProduct(weights, new LinearInputs(input, 1), output, null, false, device.Stream));
        return ((DeviceSpan)output).ToArray<float>(weights.Rows);
    }

    private GpuDevice Open(GpuKind kind, bool byMaps)
    {
        var device = accelerators.Open(kind);
        Assert.SkipUnless(!byMaps || device.CopiesInBulk, "no copy engine before compute capability 9.0");
        return device;
    }

    // What the activations lose, all of them together.
    private static double Rounded(WeightFormat format, bool byMaps, float[] x)
    {
        double Largest(float[] part) => part.Max(v => (double)Math.Abs(v));
        // 256 numbers' half units and the half units of 64 sums of four
        if (format == WeightFormat.Q4_K) return (256 + 128) * Math.Pow(2, -25) * x.Chunk(256).Sum(part => Largest(part) + Math.Pow(2, -95));
        // half units of integers of 29 bits and more
        if (byMaps) return x.Chunk(256).Sum(part => part.Length * (Math.Pow(2, -30) * Largest(part) + Math.Pow(2, -100)));
        // the second half's half unit is 2^-25, where the largest number is 2^14 or more, or 2^-23 of the number and one more of the roundings; numbers below 2^-126 may count as none
        return x.Chunk(256).Sum(part => part.Length * (Math.Pow(2, -39) * Largest(part) + Math.Pow(2, -124)));
    }

    // Codes, scales and minima of a block that are as large as can be, one way or the other.
    private static void Extreme(WeightFormat format, int way, Span<byte> block)
    {
        var one = way == 1 ? -Half.One : Half.One;
        block.Fill(0xff);
        switch (format)
        {
            case WeightFormat.Q4_K:
                if (way == 1) block[16..].Clear();
                BinaryPrimitives.WriteHalfLittleEndian(block[2..], way == 2 ? Half.Zero : Half.One);
                break;
            case WeightFormat.Q8_0:
                block[2..].Fill((byte)(way == 0 ? 0x80 : way == 1 ? 0x7f : 0x81));
                break;
            case WeightFormat.Q4_0:
                block[2..].Fill((byte)(way == 0 ? 0x00 : way == 1 ? 0xff : 0x0f));
                break;
            case WeightFormat.Q6_K:
                if (way == 0) block[..192].Clear();
                block[192..208].Fill((byte)(way == 1 ? 0x7f : 0x80));
                break;
        }
        BinaryPrimitives.WriteHalfLittleEndian(format == WeightFormat.Q6_K ? block[208..] : block, one);
    }

    // What a code and a minimum of a block can come to.
    private static double Largest(WeightFormat format, ReadOnlySpan<byte> block)
    {
        double scale = Math.Abs((double)BinaryPrimitives.ReadHalfLittleEndian(format == WeightFormat.Q6_K ? block[208..] : block));
        return format switch
        {
            WeightFormat.Q4_K => 63 * (15 * scale + Math.Abs((double)BinaryPrimitives.ReadHalfLittleEndian(block[2..]))),
            WeightFormat.Q6_K => 128 * 32 * scale,
            WeightFormat.Q4_0 => 8 * scale,
            _ => 128 * scale,
        };
    }
}
