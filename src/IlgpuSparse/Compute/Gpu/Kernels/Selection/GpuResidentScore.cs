using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Fused;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Launches <see cref="ResidentScoreKernel"/>, where there is one for the labels and all of its groups run at once.</summary>
internal sealed class GpuResidentScore(GpuDevice device)
{
    // groups of a multiprocessor: with fewer, labels come slower than scores are saved
    private const int GroupsEach = 2;

    private readonly Dictionary<(LabelFormat Format, int Tiles, bool Narrow), KernelVariant> _variants = [];
    private readonly Dictionary<KernelVariant, bool> _resident = [];

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, LabelView labels, ScoreView score, SelectView select, ArrayView<float> keys, OwnRowView own, ResidentArgs args);

    /// <summary>Groups of a set; null for as many as the device runs at once.</summary>
    public int? Groups { get; set; }

    /// <summary>Most groups of a launch of <paramref name="sets"/>: what the device runs at once. On the CPU accelerator those of one set do, or each set has one.</summary>
    public static int MostGroups(GpuDevice device, int sets) => device.IsCuda ? GroupsEach * device.Multiprocessors : sets == 1 ? device.Multiprocessors : sets;

    /// <summary>Scores and selects as <see cref="GpuSelect.ScoreAndSelect"/>; false where nothing was done because other kernels are to.</summary>
    public bool TryRun(LabelChoice choice, ScoreView score, SelectView select, OwnRowView own, StepBatch batch, AcceleratorStream stream)
    {
        if (!device.IsCuda || Plan(choice, batch) is not { } plan) return false;
        var key = (choice.Labels.Format, plan.Tiles, plan.Narrow);
        if (!_variants.TryGetValue(key, out var variant)) _variants[key] = variant = ResidentScoreKernel.Variant(choice.Labels.Format, plan.Tiles, plan.Narrow);
        if (!AreResident(variant)) return false;
        device.Kernels.Load<Launcher>(variant)(stream, Config(variant, plan, choice, batch), GpuLabels.View(choice.Shape, choice.Labels, batch), score, select, GpuLabels.Keys(choice, batch), own, plan.Args);
        return true;
    }

    /// <summary>The launch of a kernel by <paramref name="plan"/>.</summary>
    public static KernelConfig Config(KernelVariant variant, ResidentPlan plan, LabelChoice choice, StepBatch batch) =>
        new(new Index3D(plan.Groups, choice.Scores.Sets, batch.Rows), new Index3D(variant.GroupSize, 1, 1), SharedMemoryConfig.RequestDynamic<byte>(variant.DynamicSharedBytes));

    /// <summary>Whether as many groups of <paramref name="variant"/> run at once as plans are for, as the driver says; it is loaded for the question.</summary>
    public bool AreResident(KernelVariant variant)
    {
        if (!device.IsCuda) return true;
        if (!_resident.TryGetValue(variant, out bool enough)) _resident[variant] = enough = device.Kernels.ActiveGroups(variant, variant.DynamicSharedBytes) >= GroupsEach;
        return enough;
    }

    /// <summary>What the kernel is made for, groups of a set and sizes; null where there is no such kernel, or slices would be too long.</summary>
    public ResidentPlan? Plan(LabelChoice choice, StepBatch batch)
    {
        var (shape, labels, _, reduction, rule, scores, chosen) = choice;
        int sets = scores.Sets * batch.Rows;
        if (sets == 0 || sets > MostGroups(device, sets) || rule.Share != 0 || chosen.Shares is not null
            || !ResidentScoreKernel.Formats.Contains(labels.Format) || labels.Channels > ScoreKernel.MaxChannels || ScoreKernel.LaneWords(labels.Format, labels.Channels) != ResidentScoreKernel.LaneWords) return null;
        int queries = reduction == GroupReduction.Sum ? 1 : shape.Heads / scores.Sets;
        if (queries > ResidentScoreKernel.MaxQueries) return null;
        int tiles = FusedStepKernel.Tiles(queries);
        bool narrow = ScoreKernel.IsNarrow(labels.Format, labels.Channels, tiles);
        int unit = ResidentScoreKernel.Units(labels.Format, tiles) * ScoreKernel.TokensOf(narrow);
        // a window's slices begin at a multiple of a warp's units
        int span = shape.Window > 0 ? Math.Min(batch.GridLength, shape.Window + unit - 1) : batch.GridLength;
        int groups = Math.Min(Groups ?? MostGroups(device, sets) / sets, LaunchShapes.Groups(span, ResidentScoreKernel.GroupSize / 32 * unit)), slice = SetSlice.Tokens(span, groups, unit);
        int shared = ResidentScoreKernel.SharedBytes(labels.Format);
        if (slice > SetSlice.MaxTokens || (device.IsCuda && shared > device.MaxSharedBytes)) return null;
        var args = ResidentScoreKernel.Args(shared);
        args.KeepsScores = choice.KeepsScores ? 1 : 0;
        return new(tiles, narrow, groups, args);
    }
}
