using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;
using IlgpuSparse.Tests.Llama;
using static IlgpuSparse.Tests.Compute.ActivationRows;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>
/// What the products of decode steps are fused with behind them (gates, rotation and the cache, experts) against double precision: on CUDA, and on ILGPU's CPU accelerator with the matrix instructions emulated lane by lane. Outputs are poisoned
/// beforehand, and it is checked that the kernel took the work and not its stand-in.
/// </summary>
[Collection("accelerators")]
public sealed class LinearEpilogueTests(Accelerators accelerators)
{
    private readonly int _seed = Random.Shared.Next();

    [Theory]
    [MemberData(nameof(LinearKernelTests.KindsAndFormats), MemberType = typeof(LinearKernelTests))]
    public void GateAndUp(GpuKind kind, WeightFormat format)
    {
        var device = accelerators.Open(kind);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        var random = new Random(_seed);
        int outputs = kind == GpuKind.CpuAccelerator ? 21 : 1413, rows = random.Next(1, 4);
        using var gate = new LoadedWeights(random, backend, format, outputs, 168);
        using var up = new LoadedWeights(random, backend, format, outputs, 168);
        using var norm = new LoadedWeights(random, backend, WeightFormat.F32, 1, gate.Columns);
        using var gateBias = random.Next(2) == 0 ? new LoadedWeights(random, backend, WeightFormat.F16, 1, outputs) : null;
        using var upBias = gateBias is null ? null : new LoadedWeights(random, backend, WeightFormat.F32, 1, outputs);
        float[] x = RandomWeights.Normals(random, rows * gate.Columns);
        using var input = Upload(backend, x);
        using var output = Upload(backend, [.. Enumerable.Repeat(float.NaN, rows * outputs)]);
        var weights = new GateUpWeights(gate.Loaded, up.Loaded, gateBias?.Loaded, upBias?.Loaded);
        Assert.True(new GpuLinear(device, tensorCores: true, maps: null).TryGateUp(weights, new LinearInputs(input, rows, norm.Loaded, 1e-6f), output, device.Stream));
        float[] result = ((DeviceSpan)output).ToArray<float>(rows * outputs);
        for (int row = 0; row < rows; row++)
        {
            double[] v = Normed(x.AsSpan(row * gate.Columns, gate.Columns), norm.Values, 1e-6f);
            for (int n = 0; n < outputs; n++)
            {
                var (g, gateSize) = gate.Dot(n, v, gateBias?.Values.Values[n] ?? 0);
                var (u, upSize) = up.Dot(n, v, upBias?.Values.Values[n] ?? 0);
                double silu = g / (1 + Math.Exp(-g));
                // silu's slope is at most 1.1
                Near(silu * u, result[row * outputs + n], 3e-6 * (1.1 * gateSize * Math.Abs(u) + upSize * Math.Abs(silu) + Math.Abs(silu * u)), $"{format}, {rows} rows: y[{row}, {n}]", _seed);
            }
        }
    }

    [Theory]
    [InlineData(GpuKind.CpuAccelerator, KvFormat.F32, RopeStyle.HalfSplit, 1)]
    [InlineData(GpuKind.CpuAccelerator, KvFormat.F32, RopeStyle.HalfSplit, 2)]
    [InlineData(GpuKind.CpuAccelerator, KvFormat.F16, RopeStyle.Interleaved, 1)]
    [InlineData(GpuKind.CpuAccelerator, KvFormat.F16, RopeStyle.Interleaved, 2)]
    [InlineData(GpuKind.CpuAccelerator, KvFormat.BF16, RopeStyle.HalfSplit, 1)]
    [InlineData(GpuKind.CpuAccelerator, KvFormat.BF16, RopeStyle.HalfSplit, 2)]
    [InlineData(GpuKind.CpuAccelerator, KvFormat.Int8, RopeStyle.HalfSplit, 1)]
    [InlineData(GpuKind.CpuAccelerator, KvFormat.Int8, RopeStyle.HalfSplit, 2)]
    [InlineData(GpuKind.Cuda, KvFormat.F32, RopeStyle.Interleaved, 1)]
    [InlineData(GpuKind.Cuda, KvFormat.F32, RopeStyle.Interleaved, 2)]
    [InlineData(GpuKind.Cuda, KvFormat.F16, RopeStyle.HalfSplit, 1)]
    [InlineData(GpuKind.Cuda, KvFormat.F16, RopeStyle.HalfSplit, 2)]
    [InlineData(GpuKind.Cuda, KvFormat.BF16, RopeStyle.Interleaved, 1)]
    [InlineData(GpuKind.Cuda, KvFormat.BF16, RopeStyle.Interleaved, 2)]
    [InlineData(GpuKind.Cuda, KvFormat.Int8, RopeStyle.HalfSplit, 1)]
    [InlineData(GpuKind.Cuda, KvFormat.Int8, RopeStyle.HalfSplit, 2)]
    public void QueriesKeysAndValues(GpuKind kind, KvFormat cacheFormat, RopeStyle style, int rows)
    {
        var device = accelerators.Open(kind);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        var random = new Random(_seed);
        const int heads = 3, kvHeads = 1, headDim = 20, blocks = 4, columns = 256;
        var format = new[] { WeightFormat.Q8_0, WeightFormat.F16, WeightFormat.Q4_K }[random.Next(3)];
        int[] positions = [.. Enumerable.Range(0, rows).Select(_ => random.Next(0, 512))];
        using var q = new LoadedWeights(random, backend, format, heads * headDim, columns);
        using var k = new LoadedWeights(random, backend, format, kvHeads * headDim, columns);
        using var v = new LoadedWeights(random, backend, format, kvHeads * headDim, columns);
        using var norm = new LoadedWeights(random, backend, WeightFormat.BF16, 1, columns);
        using var bias = new LoadedWeights(random, backend, WeightFormat.F32, 1, kvHeads * headDim);
        var config = SmallConfig.Of(heads, kvHeads, headDim, 1024) with { HiddenSize = columns, RopeTheta = 10_000f, RopeStyle = style };
        var shape = new AttentionShape(heads, kvHeads, headDim);
        using var rope = new RopeTable(backend, config);
        using var batch = new StepBatch(backend, rows, rows, 2);
        batch.SetDecode(positions, new int[][] { [3, 1], [0, 2] }[..rows]);
        long elements = (long)blocks * kvHeads * KvLayer.BlockTokens * headDim;
        DeviceBuffer[] caches = [.. Enumerable.Range(0, 4).Select(_ => backend.Allocate(elements * cacheFormat.ElementBytes(), "test"))];
        DeviceBuffer[] scales = [.. Enumerable.Range(0, 4).Select(_ => backend.Allocate(elements / headDim * sizeof(float), "test"))];
        foreach (var buffer in caches.Concat(scales)) buffer.Clear();
        var cache = new KvLayer(cacheFormat, caches[0], caches[1], scales[0], scales[1]);
        var plain = new KvLayer(cacheFormat, caches[2], caches[3], scales[2], scales[3]);
        float[] x = RandomWeights.Normals(random, rows * columns);
        using var input = Upload(backend, x);
        float[] Poison(int n) => [.. Enumerable.Repeat(float.NaN, n)];
        using var qs = Upload(backend, Poison(rows * heads * headDim));
        using var ks = Upload(backend, Poison(rows * kvHeads * headDim));
        using var vs = Upload(backend, Poison(rows * kvHeads * headDim));

        var linear = new GpuLinear(device, tensorCores: true, maps: null);
        var kernels = new List<string>();
        device.Before = kernels.Add;
        bool appended;
        try
        {
            bool Run() => linear.TryQkv(new QkvWeights(q.Loaded, k.Loaded, v.Loaded, null, bias.Loaded, bias.Loaded), new LinearInputs(input, rows, norm.Loaded, 1e-5f), rope, shape, cache, batch, qs, ks, vs, device.Stream, out appended);
            Assert.True(Run());
            // with and without room for attention: while a graph is recorded no other kernel can be loaded
            int loaded = kernels.Count(name => name.Contains(nameof(QkvEpilogue), StringComparison.Ordinal));
            linear.Chain.Attended(startsEarly: true, beside: true);
            Assert.True(Run());
            Assert.Equal(loaded, kernels.Count(name => name.Contains(nameof(QkvEpilogue), StringComparison.Ordinal)));
        }
        finally
        {
            device.Before = null;
        }
        Assert.Equal(cacheFormat != KvFormat.Int8, appended);

        float[] frequencies = RopeTable.Frequencies(config);
        for (int row = 0; row < rows; row++)
        {
            double[] normed = Normed(x.AsSpan(row * columns, columns), norm.Values, 1e-5f);
            void Compare(LoadedWeights weights, LoadedWeights? b, DeviceBuffer actual, int width, bool rotated)
            {
                float[] result = ((DeviceSpan)actual).ToArray<float>(rows * width);
                var products = Enumerable.Range(0, width).Select(n => weights.Dot(n, normed, b?.Values.Values[n] ?? 0)).ToArray();
                for (int c = 0; c < width; c++)
                {
                    int at = c % headDim, pair = style == RopeStyle.Interleaved ? at / 2 : at % (headDim / 2);
                    int first = c - at + (style == RopeStyle.Interleaved ? 2 * pair : pair), second = first + (style == RopeStyle.Interleaved ? 1 : headDim / 2);
                    var (sin, cos) = Math.SinCos((double)positions[row] * frequencies[pair]);
                    double expected = !rotated ? products[c].Value
                        : c == first ? products[first].Value * cos - products[second].Value * sin : products[second].Value * cos + products[first].Value * sin;
                    Near(expected, result[row * width + c], 4e-6 * (products[first].Size + products[second].Size), $"{format}, {cacheFormat}, {style}: [{row}, {c}] of {width}", _seed);
                }
            }
            Compare(q, null, qs, heads * headDim, rotated: true);
            Compare(k, bias, ks, kvHeads * headDim, rotated: true);
            Compare(v, bias, vs, kvHeads * headDim, rotated: false);
        }

        // the cache holds what the plain operation makes of the same keys and values
        if (!appended) backend.AppendKv(shape, cache, batch, ks, vs);
        backend.AppendKv(shape, plain, batch, ks, vs);
        for (int i = 0; i < 2; i++)
            Assert.Equal(((DeviceSpan)caches[i + 2]).ToArray<byte>((int)caches[i].ByteLength), ((DeviceSpan)caches[i]).ToArray<byte>((int)caches[i].ByteLength));
        foreach (var buffer in caches.Concat(scales)) buffer.Dispose();
    }

    [Theory]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.F16, 1)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q8_0, 3)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.BF16, 2)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q4_K, 1)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_K, 1)]
    [InlineData(GpuKind.Cuda, WeightFormat.F16, 4)]
    [InlineData(GpuKind.Cuda, WeightFormat.BF16, 3)]
    public void RoutedExperts(GpuKind kind, WeightFormat format, int rows)
    {
        var device = accelerators.Open(kind);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        var random = new Random(_seed);
        int hidden = kind == GpuKind.Cuda ? 512 : format == WeightFormat.Q4_K ? 256 : 32, intermediate = 2 * hidden;
        const int experts = 4, active = 2;
        LoadedWeights[] Make(int r, int c) => [.. Enumerable.Range(0, experts).Select(_ => new LoadedWeights(random, backend, format, r, c))];
        LoadedWeights[] gate = Make(intermediate, hidden), up = Make(intermediate, hidden), down = Make(hidden, intermediate);
        using var weights = new ExpertWeights([.. gate.Select(w => w.Loaded)], [.. up.Select(w => w.Loaded)], [.. down.Select(w => w.Loaded)], active);
        float[] x = [.. RandomWeights.Normals(random, rows * hidden).Select(v => v / 6)];
        int[] chosen = [.. Enumerable.Range(0, rows * active).Select(_ => random.Next(experts))];
        using var input = Upload(backend, x);
        using var between = Upload(backend, [.. Enumerable.Repeat(float.NaN, rows * active * intermediate)]);
        using var output = Upload(backend, [.. Enumerable.Repeat(float.NaN, rows * active * hidden)]);
        using var choice = backend.Allocate(chosen.Length * sizeof(int), "test");
        ((DeviceSpan)choice).Upload<int>(chosen);
        using var table = backend.Allocate(3 * experts * sizeof(long), "test");
        ((DeviceSpan)table).Upload<long>([.. gate.Concat(up).Concat(down).Select(w => GpuBuffer.Address(w.Loaded.Data))]);
        var slots = new ExpertSlots { Table = GpuBuffer.View<long>(table), Chosen = GpuBuffer.View<int>(choice), Experts = experts, Active = active };
        Assert.True(new GpuLinear(device, tensorCores: true, maps: null).TryExperts(weights, slots, rows, input, between, output, device.Stream));
        float[] hiddens = ((DeviceSpan)between).ToArray<float>(rows * active * intermediate), result = ((DeviceSpan)output).ToArray<float>(rows * active * hidden);
        for (int slot = 0; slot < rows * active; slot++)
        {
            int e = chosen[slot];
            double[] v = [.. x.Skip(slot / active * hidden).Take(hidden).Select(f => (double)f)];
            for (int n = 0; n < intermediate; n++)
            {
                var (g, gateSize) = gate[e].Dot(n, v, 0);
                var (u, upSize) = up[e].Dot(n, v, 0);
                double silu = g / (1 + Math.Exp(-g));
                Near(silu * u, hiddens[slot * intermediate + n], 3e-6 * (1.1 * gateSize * Math.Abs(u) + upSize * Math.Abs(silu) + Math.Abs(silu * u)), $"{format}: slot {slot}, expert {e}, hidden {n}", _seed);
            }
            double[] w = [.. hiddens.Skip(slot * intermediate).Take(intermediate).Select(f => (double)f)];
            for (int n = 0; n < hidden; n++)
            {
                var (expected, size) = down[e].Dot(n, w, 0);
                Near(expected, result[slot * hidden + n], 1e-6 * size, $"{format}: slot {slot}, expert {e}, output {n}", _seed);
            }
        }
    }
}
