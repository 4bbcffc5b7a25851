using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Launches <see cref="ResidentScoreKernel"/>, where there is one for the labels and all of its groups run at once.</summary>
internal sealed class GpuResidentScore(GpuDevice device)
{
    // groups of a multiprocessor: with fewer, labels come slower than scores are saved
    private const int GroupsEach = 2;

    // null where the driver knows of fewer
    private readonly Dictionary<(LabelFormat Format, int Tiles, bool Narrow), KernelVariant?> _variants = [];

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, LabelView labels, ScoreView score, SelectView select, ArrayView<float> keys, OwnRowView own, ResidentArgs args);

    /// <summary>Groups of a set; null for as many as the device runs at once.</summary>
    public int? Groups { get; set; }

    /// <summary>Most groups of a launch.</summary>
    public static int MostGroups(GpuDevice device) => GroupsEach * device.Multiprocessors;

    /// <summary>Whether <see cref="TryRun"/> takes steps like this one, as far as is known without the kernel.</summary>
    public bool Serves(LabelChoice choice, StepBatch batch) => Plan(choice, batch) is not null;

    /// <summary>Scores and selects as <see cref="GpuSelect.ScoreAndSelect"/>; false where nothing was done because other kernels are to.</summary>
    public bool TryRun(LabelChoice choice, ScoreView score, SelectView select, OwnRowView own, StepBatch batch, AcceleratorStream stream)
    {
        if (Plan(choice, batch) is not var (tiles, narrow, groups, args) || Variant(choice.Labels.Format, tiles, narrow) is not { } variant) return false;
        device.Kernels.Load<Launcher>(variant)(stream,
            new KernelConfig(new Index3D(groups, choice.Scores.Sets, batch.Rows), new Index3D(ResidentScoreKernel.GroupSize, 1, 1), SharedMemoryConfig.RequestDynamic<byte>(variant.DynamicSharedBytes)),
            GpuLabels.View(choice.Shape, choice.Labels, batch), score, select, GpuLabels.Keys(choice, batch), own, args);
        return true;
    }

    // The kernel, if enough of its groups run at once; it is loaded for the question.
    private KernelVariant? Variant(LabelFormat format, int tiles, bool narrow)
    {
        if (!_variants.TryGetValue((format, tiles, narrow), out var known))
        {
            var variant = ResidentScoreKernel.Variant(format, tiles, narrow);
            _variants[(format, tiles, narrow)] = known = device.Kernels.ActiveGroups(variant, variant.DynamicSharedBytes) >= GroupsEach ? variant : null;
        }
        return known;
    }

    // What the kernel is made for, groups of a set and sizes; null where there is no such kernel, or slices would be too long.
    private (int Tiles, bool Narrow, int Groups, ResidentArgs Args)? Plan(LabelChoice choice, StepBatch batch)
    {
        var (shape, labels, _, reduction, rule, scores, chosen) = choice;
        int sets = scores.Sets * batch.Rows;
        if (!device.IsCuda || sets == 0 || sets > MostGroups(device) || rule.Share != 0 || chosen.Shares is not null
            || !ResidentScoreKernel.Formats.Contains(labels.Format) || labels.Channels > ScoreKernel.MaxChannels || ScoreKernel.LaneWords(labels.Format, labels.Channels) != ResidentScoreKernel.LaneWords) return null;
        int queries = reduction == GroupReduction.Sum ? 1 : shape.Heads / scores.Sets;
        if (queries > ResidentScoreKernel.MaxQueries) return null;
        int tiles = ScoreKernel.Tiles(queries);
        bool narrow = ScoreKernel.IsNarrow(labels.Format, labels.Channels, tiles);
        int unit = ResidentScoreKernel.Units(labels.Format, tiles) * ScoreKernel.TokensOf(narrow);
        // a window's slices begin at a multiple of a warp's units
        int span = shape.Window > 0 ? Math.Min(batch.GridLength, shape.Window + unit - 1) : batch.GridLength;
        int groups = Math.Min(Groups ?? MostGroups(device) / sets, LaunchShapes.Groups(span, ResidentScoreKernel.GroupSize / 32 * unit)), slice = SetSlice.Tokens(span, groups, unit);
        int shared = ResidentScoreKernel.SharedBytes(labels.Format);
        if (slice > SetSlice.MaxTokens || shared > device.MaxSharedBytes) return null;
        var args = ResidentScoreKernel.Args(slice, unit, shared);
        args.KeepsScores = choice.KeepsScores ? 1 : 0;
        return (tiles, narrow, groups, args);
    }
}
