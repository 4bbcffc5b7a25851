using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Fused;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;
using IlgpuSparse.Tests.Attention;
using IlgpuSparse.Tests.Reference;
using static IlgpuSparse.Tests.Compute.ActivationRows;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Scores and sets by groups that wait for each other, on ILGPU's CPU accelerator, which runs the groups of a set at once.</summary>
[Collection("accelerators")]
public sealed class ResidentScoreTests(Accelerators accelerators)
{
    private const int Threads = 64;

    /// <summary>What the queries are: normal numbers, nothing, or normal numbers and one a million times as large.</summary>
    public enum Queries
    {
        Random,
        Zero,
        OneLarge,
    }

    private readonly int _seed = Random.Shared.Next();

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, LabelView labels, ScoreView score, SelectView select, ArrayView<float> keys, OwnRowView own, ResidentArgs args);

    [Theory]
    // one group; several, fewer of them with tokens than there are
    [InlineData(1, 2, 64, LabelFormat.Int2, 0, 90, Queries.Random)]
    [InlineData(1, 1, 23, LabelFormat.Int4, 0, 1, Queries.Random)]
    [InlineData(4, 1, 64, LabelFormat.Int2, 0, 700, Queries.Random)]
    [InlineData(4, 4, 100, LabelFormat.Int1, 300, 611, Queries.Random)]
    [InlineData(3, 1, 16, LabelFormat.Int8, 0, 40, Queries.Random)]
    // two tiles of queries
    [InlineData(2, 6, 64, LabelFormat.Int2, 0, 500, Queries.Random)]
    // labels two beside each other
    [InlineData(3, 1, 32, LabelFormat.Int2, 0, 650, Queries.Random)]
    // slices of several parts of a warp's
    [InlineData(2, 1, 64, LabelFormat.Int2, 0, 3100, Queries.Random)]
    [InlineData(1, 4, 30, LabelFormat.Int4, 0, 2600, Queries.Random)]
    [InlineData(2, 1, 30, LabelFormat.Int1, 4000, 4500, Queries.Random)]
    // scores that are equal: those that can be ranked, and more than that, here and there
    [InlineData(2, 1, 64, LabelFormat.Int2, 0, 1500, Queries.Zero)]
    [InlineData(2, 1, 64, LabelFormat.Int2, 0, 3100, Queries.Zero)]
    // scores that differ by less than their codes can say
    [InlineData(1, 1, 64, LabelFormat.Int2, 0, 900, Queries.OneLarge)]
    [InlineData(2, 1, 64, LabelFormat.Int2, 0, 3100, Queries.OneLarge)]
    [InlineData(2, 1, 32, LabelFormat.Int2, 0, 1900, Queries.OneLarge)]
    [InlineData(3, 4, 64, LabelFormat.Int1, 0, 1900, Queries.OneLarge)]
    [InlineData(2, 6, 30, LabelFormat.Int4, 0, 2900, Queries.OneLarge)]
    public void ScoresAndSets(int groups, int heads, int channels, LabelFormat format, int window, int length, Queries queries)
    {
        var random = new Random(_seed);
        string what = $"seed {_seed}, {groups} groups";
        // what the kernel is made for: one word a lane
        Assert.Equal(FusedStepKernel.LaneWords, ScoreKernel.LaneWords(format, channels));
        using var backend = GpuBackend.Create(accelerators.OpenEmulatingClusters(groups), leaveOpen: true);
        var shape = new AttentionShape(heads, 1, 128, window);
        using var labels = new LabelCase(backend, random, shape, format, LabelScaling.Static, channels, length);
        labels.Fill(random, (rows, all) => backend.AppendLabels(shape, labels.Layer, rows, all));
        using var batch = labels.LastTokens();
        int capacity = (length + 15) / 16 * 16, tiles = FusedStepKernel.Tiles(heads);
        var rule = new SelectionRule(1, 8, 5, Sinks: 2, Recent: 3);
        using var q = Upload(backend, [.. Enumerable.Range(0, heads * 128).Select(i => queries == Queries.Zero ? 0f : (float)LabelCase.Normal(random) * (queries == Queries.OneLarge && i % 128 == labels.Channels[0][0] ? 1e6f : 1f))]);
        using var scores = new TokenScores(Upload(backend, Enumerable.Repeat(float.NaN, capacity).ToArray()), 1, capacity);
        using var alone = new TokenScores(Upload(backend, new float[capacity]), 1, capacity);
        using var chosen = new TokenSets(Upload(backend, Enumerable.Repeat(-7, capacity).ToArray()), Upload(backend, new[] { -7 }), 1, capacity);
        using var memory = new SelectMemory(backend.Device, backend.Memory, scores, KeyTile.Tokens(32), filterThreads: 32);
        using var histograms = Upload(backend, Enumerable.Repeat(uint.MaxValue, groups * ScoreBins.Counts).ToArray());
        var select = GpuSelect.View(shape, rule, batch, scores, chosen);
        select.Scratch = memory.View(mass: false);
        select.Scratch.Histograms = GpuBuffer.View<uint>(histograms);
        bool narrow = ScoreKernel.IsNarrow(format, channels, tiles);
        var args = ResidentScoreKernel.Args(ResidentScoreKernel.SharedBytes(format));
        args.KeepsScores = 1;
        // without .maxntid, which the CPU accelerator would compare with its own limit
        var launch = backend.Device.Kernels.Load<Launcher>(ResidentScoreKernel.Variant(format, tiles, narrow) with { GroupSize = Threads });
        for (int run = 0; run < 2; run++)
        {
            launch(backend.Device.Stream, new KernelConfig(new Index3D(groups, 1, 1), new Index3D(Threads, 1, 1), SharedMemoryConfig.RequestDynamic<byte>(ResidentScoreKernel.SharedBytes(format))),
                GpuLabels.View(shape, labels.Layer, batch), GpuScore.View(shape, labels.Layer, batch, q, GroupReduction.Max, scores), select, default, default, args);
            backend.Synchronize();
        }
        backend.Score(shape, labels.Layer, batch, q, GroupReduction.Max, alone);

        float[] found = ((DeviceSpan)scores.Buffer).ToArray<float>(capacity), expected = ((DeviceSpan)alone.Buffer).ToArray<float>(capacity);
        int first = shape.FirstVisible(length - 1);
        // a query is rounded to 24 bits of its largest channel
        double rounding = queries == Queries.OneLarge ? 1e-5 * expected.Skip(first).Take(length - first).Max(Math.Abs) : 0;
        for (int token = first; token < length; token++)
            Assert.True(Math.Abs(found[token] - expected[token]) <= 1e-4 * (1 + Math.Abs(expected[token])) + rounding, $"{what}: token {token} has {found[token]}, by itself {expected[token]}");
        Assert.Equal(ReferenceSelection.Select(found, first, length - 1, rule), chosen.ToLists(0, 1)[0].Order());
    }

    [Fact]
    public void SlicesAndOpenTokensHaveRoom()
    {
        foreach (var format in ResidentScoreKernel.Formats)
        {
            int bytes = ResidentScoreKernel.SharedBytes(format), work = 16 * ResidentScoreKernel.Args(bytes).WorkUnits;
            Assert.True(work + ScoreBins.Counts * sizeof(uint) <= bytes && ResidentCodes.Bytes <= work, $"{format}");
            // open tokens, the same in parts and in order
            Assert.True((3 * SetFilter.MaxOpen + SetFilter.OpenPadding) * sizeof(ulong) <= work, $"{format}");
            Assert.True(TensorDecodeKernel.SharedBytes(128, ResidentStepKernel.Tuning.Warps, ResidentStepKernel.Tuning.Stages) <= work, $"{format}");
        }
    }
}
