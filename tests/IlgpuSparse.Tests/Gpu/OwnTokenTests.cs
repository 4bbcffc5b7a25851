using ILGPU;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;
using IlgpuSparse.Tests.Attention;
using IlgpuSparse.Tests.Reference;
using static IlgpuSparse.Tests.Attention.AttentionCase;
using static IlgpuSparse.Tests.Compute.ActivationRows;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Kernels for CUDA that write K, V and labels of a step's own tokens beside their work, on ILGPU's CPU accelerator: what kernels of their own would write, to the bit, and nothing else.</summary>
[Collection("accelerators")]
public sealed class OwnTokenTests(Accelerators accelerators)
{
    private readonly int _seed = Random.Shared.Next();

    [Theory]
    // the first token of a sequence; the last and the first of a block; several groups a kv head; a window
    [InlineData(3, 3, 64, KvFormat.F16, 0, new[] { 1, 16, 37 })]
    [InlineData(8, 2, 64, KvFormat.BF16, 0, new[] { 300, 21 })]
    [InlineData(10, 1, 96, KvFormat.F16, 0, new[] { 50 })]
    [InlineData(2, 1, 128, KvFormat.BF16, 0, new[] { 257 })]
    [InlineData(2, 1, 64, KvFormat.F16, 21, new[] { 256, 7 })]
    [InlineData(1, 1, 256, KvFormat.F16, 0, new[] { 19 })]
    public void DenseAttention(int heads, int kvHeads, int headDim, KvFormat format, int window, int[] lengths)
    {
        var device = accelerators.Open(GpuKind.CpuAccelerator);
        using var backend = GpuBackend.CreateEmulatingTensorCores(device);
        using var test = new AttentionCase(backend, new Random(_seed), new(heads, kvHeads, headDim, window), format, lengths);
        var batch = test.DecodeStep();
        test.CheckAppending(batch, $"seed {_seed}");

        // one that has loaded no kernel yet says which ones it takes
        using var fresh = GpuBackend.CreateEmulatingTensorCores(device);
        using var any = fresh.Allocate((long)batch.Rows * heads * headDim * sizeof(float), "test");
        using var y = fresh.Allocate(any.ByteLength, "test");
        var kernels = new List<string>();
        device.Before = name => kernels.Add(name);
        fresh.AppendAndAttend(test.Shape, test.Cache, batch, new OwnRows(any, any), any, y);
        device.Before = null;
        Assert.StartsWith(nameof(TensorDecodeKernel), Assert.Single(kernels, name => name.Contains('.', StringComparison.Ordinal)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ScoreKernel.WithSelection, LabelFormat.Int2, LabelScaling.Static, 64, KvFormat.F16, 2)]
    [InlineData(ScoreKernel.WithSelection, LabelFormat.Int4, LabelScaling.PerToken, 23, KvFormat.BF16, 4)]
    [InlineData(ScoreKernel.WithBins, LabelFormat.Int1, LabelScaling.Static, 64, KvFormat.F32, 4)]
    [InlineData(ScoreKernel.WithBins, LabelFormat.F16, LabelScaling.Static, 15, KvFormat.F16, 2)]
    [InlineData(ScoreKernel.WithBins, LabelFormat.Int8, LabelScaling.PerToken, 32, KvFormat.BF16, 2)]
    public void ScoresAndSets(int mode, LabelFormat format, LabelScaling scaling, int channels, KvFormat kv, int sets)
    {
        var random = new Random(_seed);
        var shape = new AttentionShape(4, 2, 64);
        int[] lengths = [70, 1];
        int capacity = 80, floats = lengths.Length * shape.KvHeads * shape.HeadDim;
        using var backend = GpuBackend.Create(accelerators.Open(GpuKind.CpuAccelerator), leaveOpen: true);
        using var labels = new LabelCase(backend, random, shape, format, scaling, channels, lengths);
        labels.Fill(random, (rows, all) => backend.AppendLabels(shape, labels.Layer, rows, all));
        using var batch = labels.LastTokens();
        using var k = Upload(backend, Normals(random, floats));
        using var v = Upload(backend, Normals(random, floats));
        using var others = Upload(backend, Normals(random, floats));
        using var q = Upload(backend, Normals(random, lengths.Length * shape.Heads * shape.HeadDim));

        long bytes = labels.Layer.Codes.ByteLength / (labels.Layer.Words * sizeof(uint)) * shape.HeadDim * kv.ElementBytes();
        using DeviceBuffer ek = Zeros(backend, bytes), ev = Zeros(backend, bytes), fk = Zeros(backend, bytes), fv = Zeros(backend, bytes);
        backend.AppendKv(shape, new KvLayer(kv, ek, ev), batch, k, v);
        backend.AppendLabels(shape, labels.Layer, batch, k);
        uint[] codes = labels.DownloadCodes(), scales = labels.DownloadScales();
        backend.AppendLabels(shape, labels.Layer, batch, others);
        Assert.NotEqual(codes, labels.DownloadCodes());

        int lists = lengths.Length * sets;
        using var scores = new TokenScores(Upload(backend, Enumerable.Repeat(float.NaN, lists * capacity).ToArray()), sets, capacity);
        using var chosen = new TokenSets(Zeros(backend, lists * capacity * sizeof(int)), Zeros(backend, lists * sizeof(int)), sets, capacity);
        using var memory = new SelectMemory(backend.Device, backend.Memory, scores, KeyTile.Tokens(32), filterThreads: 32);
        var rule = new SelectionRule(1, 8, 5, Sinks: 2, Recent: 3);
        var score = GpuScore.View(shape, labels.Layer, batch, q, GroupReduction.Max, scores);
        // two groups a set, of two warps
        score.ChunkTokens = 64;
        var select = GpuSelect.View(shape, rule, batch, scores, chosen);
        select.Scratch = memory.View(mass: false);
        Load<SelectionKernelTests.ScoreLauncher>(backend, ScoreKernel.Variant(format, ScoreKernel.LaneWords(format, channels), 1, ScoreKernel.Tiles(shape.Heads / sets), mode))(backend.Device.Stream,
            new KernelConfig(new Index3D(2, sets, lengths.Length), new Index3D(64, 1, 1)), GpuLabels.View(shape, labels.Layer, batch), score, select,
            GpuBuffer.View<float>(k), AttentionLaunch.View(new OwnRows(k, v), shape, new KvLayer(kv, fk, fv), batch));
        if (mode == ScoreKernel.WithBins) Load<SelectionKernelTests.PlaceLauncher>(backend, SetFilterKernel.Variant)(backend.Device.Stream, new KernelConfig(new Index3D(1, sets, lengths.Length), new Index3D(32, 1, 1)), select, 512);
        backend.Synchronize();

        Assert.Equal(codes, labels.DownloadCodes());
        Assert.Equal(scales, labels.DownloadScales());
        Assert.True(Bytes(ek).AsSpan().SequenceEqual(Bytes(fk)), $"seed {_seed}: K");
        Assert.True(Bytes(ev).AsSpan().SequenceEqual(Bytes(fv)), $"seed {_seed}: V");
        // the token's own score, of a label that was there or was not, decides nothing
        float[] found = ((DeviceSpan)scores.Buffer).ToArray<float>(lists * capacity);
        int[][] selected = chosen.ToLists(0, lengths.Length);
        for (int list = 0; list < lists; list++)
        {
            int position = lengths[list / sets] - 1;
            Assert.Equal(ReferenceSelection.Select(found.AsSpan(list * capacity, capacity), 0, position, rule), selected[list].Order());
        }
    }

    private static float[] Normals(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => (float)LabelCase.Normal(random))];

    // Without .maxntid, which the CPU accelerator would compare with its own limit.
    private static TLaunch Load<TLaunch>(GpuBackend backend, KernelVariant variant) where TLaunch : Delegate => backend.Device.Kernels.Load<TLaunch>(variant with { GroupSize = 64 });

    private static DeviceBuffer Zeros(GpuBackend backend, long bytes)
    {
        var buffer = backend.Allocate(bytes, "test");
        buffer.Clear();
        return buffer;
    }
}
