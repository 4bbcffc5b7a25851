using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
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

    private readonly int _seed = Random.Shared.Next();

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, LabelView labels, ScoreView score, SelectView select, ArrayView<float> keys, OwnRowView own, ResidentArgs args);

    [Theory]
    // one group; several, fewer of them with tokens than there are
    [InlineData(1, 2, 64, LabelFormat.Int2, 0, 90, 1 << 20, false)]
    [InlineData(1, 1, 23, LabelFormat.Int4, 0, 1, 1 << 20, false)]
    [InlineData(4, 1, 64, LabelFormat.Int2, 0, 700, 1 << 20, false)]
    [InlineData(4, 4, 100, LabelFormat.Int1, 300, 611, 1 << 20, false)]
    [InlineData(3, 1, 16, LabelFormat.Int8, 0, 40, 1 << 20, false)]
    // labels two beside each other
    [InlineData(3, 1, 32, LabelFormat.Int2, 0, 650, 1 << 20, false)]
    // more tokens than there is room for
    [InlineData(2, 1, 64, LabelFormat.Int2, 0, 3100, 1024, false)]
    [InlineData(1, 4, 30, LabelFormat.Int4, 0, 2600, 1536, false)]
    [InlineData(2, 1, 30, LabelFormat.Int1, 4000, 4500, 1024, false)]
    // scores that are equal: those that can be ranked, and more than that, here and there
    [InlineData(2, 1, 64, LabelFormat.Int2, 0, 1500, 1 << 20, true)]
    [InlineData(2, 1, 64, LabelFormat.Int2, 0, 3100, 1024, true)]
    public void ScoresAndSets(int groups, int heads, int channels, LabelFormat format, int window, int length, int near, bool equal)
    {
        var random = new Random(_seed);
        string what = $"seed {_seed}, {groups} groups";
        using var backend = GpuBackend.Create(accelerators.OpenEmulatingClusters(groups), leaveOpen: true);
        var shape = new AttentionShape(heads, 1, 128, window);
        using var labels = new LabelCase(backend, random, shape, format, LabelScaling.Static, channels, length);
        labels.Fill(random, (rows, all) => backend.AppendLabels(shape, labels.Layer, rows, all));
        using var batch = labels.LastTokens();
        int capacity = (length + 15) / 16 * 16, tiles = ScoreKernel.Tiles(heads);
        var rule = new SelectionRule(1, 8, 5, Sinks: 2, Recent: 3);
        using var q = Upload(backend, equal ? new float[heads * 128] : [.. Enumerable.Range(0, heads * 128).Select(_ => (float)LabelCase.Normal(random))]);
        using var scores = new TokenScores(Upload(backend, Enumerable.Repeat(float.NaN, capacity).ToArray()), 1, capacity);
        using var alone = new TokenScores(Upload(backend, new float[capacity]), 1, capacity);
        using var chosen = new TokenSets(Upload(backend, Enumerable.Repeat(-7, capacity).ToArray()), Upload(backend, new[] { -7 }), 1, capacity);
        using var memory = new SelectMemory(backend.Device, backend.Memory, scores, KeyTile.Tokens(32), filterThreads: 32);
        using var histograms = Upload(backend, Enumerable.Repeat(uint.MaxValue, groups * ScoreBins.Counts).ToArray());
        var select = GpuSelect.View(shape, rule, batch, scores, chosen);
        select.Scratch = memory.View(mass: false);
        select.Scratch.Histograms = GpuBuffer.View<uint>(histograms);
        bool narrow = ScoreKernel.IsNarrow(format, channels, tiles);
        int step = Threads / 32 * ResidentScoreKernel.Units(format, tiles) * ScoreKernel.TokensOf(narrow);
        // what a test says is too little, or all that there is
        int slice = ((length + groups - 1) / groups + step - 1) / step * step;
        var args = ResidentScoreKernel.Args(slice, step, ResidentScoreKernel.SharedBytes(format));
        args.Near = Math.Min(near / step * step, args.Near);
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
        for (int token = first; token < length; token++)
            Assert.True(Math.Abs(found[token] - expected[token]) <= 1e-4 * (1 + Math.Abs(expected[token])), $"{what}: token {token} has {found[token]}, by itself {expected[token]}");
        Assert.Equal(ReferenceSelection.Select(found, first, length - 1, rule), chosen.ToLists(0, 1)[0].Order());
    }

    [Fact]
    public void FiltersLoadNothingBeyondTheirMemory()
    {
        var random = new Random(_seed);
        for (int i = 0; i < 2000; i++)
        {
            var format = ResidentScoreKernel.Formats[random.Next(ResidentScoreKernel.Formats.Count)];
            int unit = 32 << random.Next(4), warps = ResidentScoreKernel.GroupSize / 32, slice = (random.Next(1, SetSlice.MaxTokens + 1) + unit - 1) / unit * unit;
            var args = ResidentScoreKernel.Args(slice, unit, ResidentScoreKernel.SharedBytes(format));
            Assert.True(args.Near % unit == 0 && 4 * args.WorkUnits > args.Near && 16 * args.WorkUnits + ScoreBins.Counts * sizeof(uint) <= ResidentScoreKernel.SharedBytes(format), $"seed {_seed}");
            // as the warps take parts
            int parts = (SetSlice.Stretch(slice, warps) + SetFilter.WarpTokens - 1) / SetFilter.WarpTokens, length = SetSlice.Stretch(slice, warps * parts);
            Assert.True(length <= SetFilter.WarpTokens && (long)parts * warps * length >= slice && 2 * parts * ResidentScoreKernel.GroupSize <= ScoreBins.Counts, $"seed {_seed}");
            if (args.Near >= slice) continue;
            int last = args.Near / length * length, loaded = last - length + (length + 2 * SetFilter.WarpStep - 1) / (2 * SetFilter.WarpStep) * (2 * SetFilter.WarpStep) + 2 * SetFilter.WarpStep;
            Assert.True(Math.Min(loaded, slice) <= 4 * args.WorkUnits, $"seed {_seed}: {slice} tokens, {args.Near} of them near, {loaded} loaded with room for {4 * args.WorkUnits}");
        }
    }
}
