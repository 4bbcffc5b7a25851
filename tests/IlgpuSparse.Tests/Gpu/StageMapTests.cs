using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;
using IlgpuSparse.Tests.Llama;
using static IlgpuSparse.Tests.Compute.ActivationRows;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>
/// Products of one row whose weights are copied by maps give the same numbers as those whose weights are copied by lanes, which other tests compare with double precision, to the last bit in Q4_K, where they are multiplied alike: with rows that do not fill a stage, tiles that do not
/// fill a group, and where matrices begin and end.
/// </summary>
[Collection("accelerators")]
public sealed class StageMapTests(Accelerators accelerators)
{
    private readonly int _seed = Random.Shared.Next();

    public static TheoryData<GpuKind> Kinds => [GpuKind.CpuAccelerator, GpuKind.Cuda];

    [Theory]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q4_K, 16, 256)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q4_K, 48, 1280)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q4_K, 16, 5888)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q8_0, 16, 256)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q8_0, 48, 1280)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q8_0, 16, 5888)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q4_0, 48, 1280)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q6_K, 32, 2048)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_K, 16, 256)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_K, 4096, 4096)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_K, 4096, 11_008)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_K, 32_000, 4096)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_K, 4112, 1280)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q8_0, 16, 256)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q8_0, 4096, 4096)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q8_0, 4096, 11_008)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q8_0, 32_000, 4096)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q8_0, 4112, 1280)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_0, 4096, 4096)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_0, 4112, 1280)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_0, 4096, 11_008)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q6_K, 4112, 2048)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q6_K, 4096, 14_336)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q6_K, 32_000, 4096)]
    public void OneMatrix(GpuKind kind, WeightFormat format, int outputs, int inputs)
    {
        var random = new Random(_seed);
        var device = Open(kind);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        using var weights = new LoadedWeights(random, backend, format, outputs, inputs);
        using var input = Upload(backend, RandomWeights.Normals(random, inputs));
        Compare(device, backend, format, outputs, (linear, y) => linear.TryProduct(weights.Loaded, new LinearInputs(input, 1), y, null, false, device.Stream));
    }

    [Theory]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q4_K, 20, 768)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q8_0, 20, 768)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_K, 20, 768)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_K, 11_008, 4096)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q8_0, 20, 768)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q8_0, 11_008, 4096)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_0, 11_008, 4096)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q6_K, 14_336, 4096)]
    public void GateAndUp(GpuKind kind, WeightFormat format, int outputs, int inputs)
    {
        var random = new Random(_seed);
        var device = Open(kind);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        // the one is to lie behind the other, as weights of a model do
        using var room = backend.ReserveWeights([.. Enumerable.Repeat(outputs * (long)inputs / format.BlockElements() * format.BlockBytes(), 2)]);
        using var gate = new LoadedWeights(random, backend, format, outputs, inputs);
        using var up = new LoadedWeights(random, backend, format, outputs, inputs);
        using var norm = new LoadedWeights(random, backend, WeightFormat.F32, 1, inputs);
        using var input = Upload(backend, RandomWeights.Normals(random, inputs));
        bool inOrder = GpuBuffer.Address(up.Loaded.Data) > GpuBuffer.Address(gate.Loaded.Data);
        if (kind == GpuKind.Cuda) Assert.True(inOrder);
        var weights = inOrder ? new GateUpWeights(gate.Loaded, up.Loaded, null, null) : new GateUpWeights(up.Loaded, gate.Loaded, null, null);
        Compare(device, backend, format, outputs, (linear, y) => linear.TryGateUp(weights, new LinearInputs(input, 1, norm.Loaded, 1e-6f), y, device.Stream));
    }

    [Theory]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q4_K, RopeStyle.HalfSplit, 3, 16)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q4_K, RopeStyle.Interleaved, 1, 24)]
    [InlineData(GpuKind.CpuAccelerator, WeightFormat.Q8_0, RopeStyle.HalfSplit, 3, 16)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_K, RopeStyle.HalfSplit, 3, 16)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_K, RopeStyle.Interleaved, 1, 24)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_K, RopeStyle.HalfSplit, 32, 128)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_K, RopeStyle.Interleaved, 32, 128)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q8_0, RopeStyle.Interleaved, 1, 24)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q8_0, RopeStyle.HalfSplit, 32, 128)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q4_0, RopeStyle.HalfSplit, 32, 128)]
    [InlineData(GpuKind.Cuda, WeightFormat.Q6_K, RopeStyle.Interleaved, 32, 128)]
    public void QueriesKeysAndValues(GpuKind kind, WeightFormat format, RopeStyle style, int heads, int headDim)
    {
        var random = new Random(_seed);
        var device = Open(kind);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        int kvHeads = headDim % 16 == 0 ? 1 : 2, columns = heads > 3 ? 4096 : 768;
        heads = Math.Max(heads, kvHeads);
        using var q = new LoadedWeights(random, backend, format, heads * headDim, columns);
        using var k = new LoadedWeights(random, backend, format, kvHeads * headDim, columns);
        using var v = new LoadedWeights(random, backend, format, kvHeads * headDim, columns);
        using var norm = new LoadedWeights(random, backend, WeightFormat.F32, 1, columns);
        var config = SmallConfig.Of(heads, kvHeads, headDim, 1024) with { HiddenSize = columns, RopeTheta = 10_000f, RopeStyle = style };
        var shape = new AttentionShape(heads, kvHeads, headDim);
        using var rope = new RopeTable(backend, config);
        using var batch = new StepBatch(backend, 1, 1, 2);
        batch.SetDecode([random.Next(0, 512)], [[1, 0]]);
        long elements = 2L * kvHeads * KvLayer.BlockTokens * headDim;
        using var cachedK = backend.Allocate(elements * sizeof(float), "test");
        using var cachedV = backend.Allocate(elements * sizeof(float), "test");
        var cache = new KvLayer(KvFormat.F32, cachedK, cachedV, null, null);
        using var input = Upload(backend, RandomWeights.Normals(random, columns));
        int queries = heads * headDim, kv = kvHeads * headDim;
        Compare(device, backend, format, queries + 2 * kv, (linear, y) =>
            linear.TryQkv(new QkvWeights(q.Loaded, k.Loaded, v.Loaded, null, null, null), new LinearInputs(input, 1, norm.Loaded, 1e-5f), rope, shape, cache, batch, y, y.SkipFloats(queries), y.SkipFloats(queries + kv), device.Stream, out _));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void WhatNoMapDescribesIsCopiedByLanes(GpuKind kind)
    {
        var random = new Random(_seed);
        var device = Open(kind);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        using var weights = new LoadedWeights(random, backend, WeightFormat.Q4_K, 23, 512);
        using var x = Upload(backend, RandomWeights.Normals(random, 512));
        using var y = backend.Allocate(23 * sizeof(float), "test");
        int before = device.Maps!.Layouts;
        float[] Run(StageMaps? maps)
        {
            Assert.True(new GpuLinear(device, tensorCores: true, maps).TryProduct(weights.Loaded, new LinearInputs(x, 1), y, null, false, device.Stream));
            return ((DeviceSpan)y).ToArray<float>(23);
        }
        Assert.Equal(Run(null), Run(device.Maps));
        Assert.Equal(before, device.Maps.Layouts);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void GroupsOfFewStagesHaveNoMaps(GpuKind kind)
    {
        var random = new Random(_seed);
        var device = Open(kind);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        using var weights = new LoadedWeights(random, backend, WeightFormat.Q8_0, 16, 512);
        using var x = Upload(backend, RandomWeights.Normals(random, 512));
        using var y = backend.Allocate(16 * sizeof(float), "test");
        string Kernel(int fewest) => Assert.Single(Products(device, () =>
            Assert.True(new GpuLinear(device, tensorCores: true, device.Maps) { FewestStages = fewest }.TryProduct(weights.Loaded, new LinearInputs(x, 1), y, null, false, device.Stream))));
        // two times eight rows of one stage: one group, or two
        int stages = kind == GpuKind.Cuda ? 1 : 2;
        Assert.StartsWith(nameof(RowDigitKernel), Kernel(stages), StringComparison.Ordinal);
        Assert.StartsWith(nameof(RowStreamKernel), Kernel(stages + 1), StringComparison.Ordinal);
    }

    private GpuDevice Open(GpuKind kind)
    {
        var device = accelerators.Open(kind);
        Assert.SkipUnless(device.CopiesInBulk, "no copy engine before compute capability 9.0");
        return device;
    }

    // The kernels of products that are looked up, which they are once.
    private static List<string> Products(GpuDevice device, Action run)
    {
        var kernels = new List<string>();
        device.Before = kernels.Add;
        try
        {
            run();
        }
        finally
        {
            device.Before = null;
        }
        return [.. kernels.Where(name => new[] { nameof(RowDigitKernel), nameof(RowStreamKernel), nameof(LinearKernel) }.Any(kernel => name.StartsWith(kernel, StringComparison.Ordinal)))];
    }

    // The outputs by lanes and by maps, and that it was done so: launched, and replayed from a graph, where one product starts while the one before ends.
    private void Compare(GpuDevice device, GpuBackend backend, WeightFormat format, int outputs, Func<GpuLinear, DeviceSpan, bool> product)
    {
        var maps = device.Maps!;
        int before = maps.Layouts;
        using var output = backend.Allocate(outputs * sizeof(float), "test");
        float[] expected = [];
        // those of other formats than Q4_K are multiplied otherwise where lanes copy, with sums of single precision
        double near = 0;
        void Check(Action run)
        {
            ((DeviceSpan)output).Upload<float>([.. Enumerable.Repeat(float.NaN, outputs)]);
            run();
            float[] result = ((DeviceSpan)output).ToArray<float>(outputs);
            if (expected.Length == 0) expected = result;
            for (int n = 0; n < outputs; n++) Assert.True(Math.Abs(expected[n] - result[n]) <= near, $"y[{n}] = {result[n]}, not {expected[n]} (seed {_seed})");
        }
        // what the first launch of a product looks up says who copies
        void Run(GpuLinear linear, Type? kernel = null, Type? copies = null)
        {
            var products = Products(device, () => Assert.True(product(linear, output)));
            if (kernel is null) return;
            Assert.NotEmpty(products);
            Assert.All(products, name => Assert.StartsWith(kernel.Name, name, StringComparison.Ordinal));
            Assert.All(products, name => Assert.Contains(copies?.Name ?? "", name, StringComparison.Ordinal));
        }
        bool alike = format == WeightFormat.Q4_K;
        Check(() => Run(new GpuLinear(device, tensorCores: true, maps: null), alike ? typeof(RowDigitKernel) : format == WeightFormat.Q8_0 ? typeof(RowStreamKernel) : typeof(LinearKernel), alike ? typeof(LaneCopies) : null));
        Assert.Contains(expected, y => y != 0);
        if (!alike) near = 1e-5 * expected.Max(Math.Abs);
        Assert.Equal(before, maps.Layouts);
        var linear = new GpuLinear(device, tensorCores: true, maps) { FewestStages = 1 };
        Check(() => Run(linear, typeof(RowDigitKernel), typeof(MapCopies)));
        // matrices may lie where others have been before
        int after = maps.Layouts;
        Assert.InRange(after, before, before + 1);
        // with rings that leave room for attention, which only the projection before it has
        linear.Chain.Attended(startsEarly: true, beside: true);
        Check(() => Run(linear));
        Assert.Equal(after, maps.Layouts);
        if (!backend.Records) return;
        using var recorded = backend.Record(() =>
        {
            for (int i = 0; i < 3; i++) Run(linear);
        });
        for (int i = 0; i < 2; i++) Check(recorded.Run);
    }
}
