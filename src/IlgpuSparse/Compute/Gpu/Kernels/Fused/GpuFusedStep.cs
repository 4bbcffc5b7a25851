using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>Launches <see cref="FusedStepKernel"/>, where there is one for the step and <see cref="FusedPlan"/> is for it.</summary>
/// <param name="device">The device.</param>
/// <param name="tensorCores">Whether tensor-core kernels run; tests use it on the CPU accelerator too, with one group a set or as many as the device runs at once.</param>
/// <param name="chain">What the products around it are to know.</param>
/// <param name="resident">What there would be otherwise.</param>
internal sealed class GpuFusedStep(GpuDevice device, bool tensorCores, ProductChain chain, GpuResidentStep resident)
{
    private readonly DecodeTuning _tuning = FusedStepKernel.Tuning.On(device);
    private readonly Dictionary<(KernelVariant Variant, int SharedBytes), ClusterRoom> _active = [];
    private readonly Dictionary<(LabelFormat Format, int Tiles, bool Narrow, KvFormat Kv, int HeadDim, int Groups), KernelVariant> _variants = [];

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, LabelView labels, ScoreView score, SelectView select, KvView cache, ArrayView<float> keys, OwnRowView own, ArrayView<float> q, ArrayView<float> y, AttentionArgs attention, FusedArgs args);

    /// <summary>When steps are fused.</summary>
    public FusedSteps Steps { get; set; }

    /// <summary>Groups of a cluster; null for as many as <see cref="FusedPlan"/> says.</summary>
    public int? Groups { get; set; }

    /// <summary>Launches so far.</summary>
    public int Launches { get; private set; }

    private IReadOnlyList<int> Sizes => !device.IsCuda ? [device.Multiprocessors] : Groups is { } groups ? [groups] : FusedStepKernel.Groups;

    /// <summary>
    /// Scores, selects and attends as <see cref="ComputeBackend.AttendByLabels"/>, whose labels it makes if nobody reads the scores, with the rows of <paramref name="own"/>; false where nothing was done because other kernels are to.
    /// </summary>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public bool TryRun(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, LabelChoice choice, OwnRows? own, DeviceSpan y, AcceleratorStream stream)
    {
        if (Steps is FusedSteps.Off or FusedSteps.Resident || !Serves(shape, cache, batch, choice)) return false;
        int queries = choice.Reduction == GroupReduction.Sum ? 1 : shape.Heads / choice.Scores.Sets;
        bool narrow = IsNarrow(choice.Labels, queries);
        int unit = FusedStepKernel.Units(choice.Labels.Format, queries, narrow) * ScoreKernel.TokensOf(narrow);
        int visible = shape.Window > 0 ? Math.Min(batch.GridLength, shape.Window) : batch.GridLength;
        var plan = new FusedPlan(
            choice.Scores.Sets * batch.Rows,
            // a window's slices begin at a multiple of a warp's units
            shape.Window > 0 ? Math.Min(batch.GridLength, shape.Window + unit - 1) : batch.GridLength,
            Math.Min(choice.Sets.Factors is null ? choice.Rule.Budget(visible) : visible, choice.Sets.Capacity),
            Math.Min(choice.Rule.Budget(visible), choice.Sets.Capacity),
            narrow,
            2 * shape.HeadDim * cache.Format.ElementBytes(),
            resident.Serves(shape, cache, batch, choice));
        int groups = plan.Groups(Steps, Sizes, size => Room(plan, size, unit, shape.HeadDim), size => Active(plan, size, unit, queries, shape, cache, choice));
        if (groups == 0) return false;

        AttentionLaunch.Check(shape, cache);
        var score = GpuScore.View(choice.Shape, choice.Labels, batch, choice.Queries, choice.Reduction, choice.Scores);
        var select = GpuSelect.View(shape, choice.Rule, batch, choice.Scores, choice.Sets);
        var attention = AttentionLaunch.Args(shape, batch, TensorDecodeKernel.MaxSlots, choice.Sets);
        var args = plan.Args(groups, unit, shape.HeadDim, _tuning);
        args.KeepsScores = choice.KeepsScores ? 1 : 0;
        var variant = Variant(choice.Labels, queries, cache.Format, shape.HeadDim, groups);
        long floats = (long)batch.Rows * shape.Heads * shape.HeadDim;
        device.Kernels.Load<Launcher>(variant)(stream,
            new KernelConfig(new Index3D(groups, choice.Scores.Sets, batch.Rows), new Index3D(variant.GroupSize, 1, 1), SharedMemoryConfig.RequestDynamic<byte>(FusedPlan.SharedBytes(args, shape.HeadDim, groups))),
            GpuLabels.View(choice.Shape, choice.Labels, batch), score, select, AttentionLaunch.View(cache, batch, choice.Sets),
            GpuLabels.Keys(choice, batch), AttentionLaunch.View(own, shape, cache, batch), GpuBuffer.View<float>(q, floats), GpuBuffer.View<float>(y, floats), attention, args);
        Launches++;
        chain.Attended(startsEarly: true, beside: true);
        return true;
    }

    // What there are kernels for. Selection by mass needs sums of all weights, K and V in host memory are brought between selection and attention.
    private bool Serves(AttentionShape shape, KvLayer cache, StepBatch batch, LabelChoice choice) =>
        tensorCores && device.HasClusters && (!device.IsCuda || device.MaxSharedBytes >= TensorDecodeKernel.HopperSharedBytes)
        && batch is { IsPrefill: false, Rows: > 0 }
        && cache is { Format: KvFormat.F16 or KvFormat.BF16, Offload: null, Table: null }
        && (device.IsCuda ? FusedStepKernel.HeadDims : HeadSizes.All).Contains(shape.HeadDim)
        && FusedStepKernel.Formats.Contains(choice.Labels.Format) && ScoreKernel.LaneWords(choice.Labels.Format, choice.Labels.Channels) == FusedStepKernel.LaneWords && choice.Labels.Channels <= ScoreKernel.MaxChannels
        && choice.Rule.Share == 0 && choice.Sets.Shares is null
        && shape.Heads / choice.Scores.Sets <= FusedStepKernel.MaxHeads;

    // Clusters that shared memory has room for, at most; none where a slice is too long. On the CPU accelerator, which has no others, the one that it can.
    private ClusterRoom Room(FusedPlan plan, int groups, int unit, int headDim)
    {
        int shared = FusedPlan.SharedBytes(plan.Args(groups, unit, headDim, _tuning), headDim, groups);
        if (plan.Slice(groups, unit) > SetSlice.MaxTokens || shared > FusedStepKernel.MaxSharedBytes) return default;
        if (!device.IsCuda) return groups == 1 || plan.Clusters == 1 ? new(plan.Clusters, plan.Clusters) : default;
        return new(device.Multiprocessors * (TensorDecodeKernel.HopperSharedBytes / shared) / groups, device.Multiprocessors / groups);
    }

    // Clusters that run at once, as the driver says: it knows registers, and which multiprocessors can be a cluster. The kernel is loaded for the question.
    private ClusterRoom Active(FusedPlan plan, int groups, int unit, int queries, AttentionShape shape, KvLayer cache, LabelChoice choice)
    {
        if (!device.IsCuda) return Room(plan, groups, unit, shape.HeadDim);
        var key = (Variant(choice.Labels, queries, cache.Format, shape.HeadDim, groups), FusedPlan.SharedBytes(plan.Args(groups, unit, shape.HeadDim, _tuning), shape.HeadDim, groups));
        if (!_active.TryGetValue(key, out var active))
            // as much memory as leaves no room for a second group
            _active[key] = active = new(device.Kernels.ActiveClusters(key.Item1, key.Item2), device.Kernels.ActiveClusters(key.Item1, FusedStepKernel.MaxSharedBytes));
        return active;
    }

    private static bool IsNarrow(LabelLayer labels, int queries) => ScoreKernel.IsNarrow(labels.Format, labels.Channels, FusedStepKernel.Tiles(queries));

    private KernelVariant Variant(LabelLayer labels, int queries, KvFormat kv, int headDim, int groups)
    {
        bool narrow = IsNarrow(labels, queries);
        var key = (labels.Format, FusedStepKernel.Tiles(queries), narrow, kv, headDim, groups);
        if (!_variants.TryGetValue(key, out var variant))
            _variants[key] = variant = FusedStepKernel.Variant(labels.Format, queries, narrow, TensorElements.Of(kv), headDim, groups, _tuning.Pipeline, 32 * _tuning.Warps);
        return variant;
    }
}
