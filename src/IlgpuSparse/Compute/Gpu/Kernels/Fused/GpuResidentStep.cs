using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>Launches <see cref="ResidentStepKernel"/>, where there is one for the step and all of its groups run at once.</summary>
/// <param name="device">The device.</param>
/// <param name="tensorCores">Whether tensor-core kernels run; tests use it on the CPU accelerator too, with as many groups a set as the device runs at once.</param>
/// <param name="chain">What the products around it are to know.</param>
/// <param name="select">Its scores and sets.</param>
/// <param name="attention">Its attention.</param>
internal sealed class GpuResidentStep(GpuDevice device, bool tensorCores, ProductChain chain, GpuSelect select, GpuDecodeAttention attention)
{
    private readonly Dictionary<(LabelFormat Format, int Tiles, bool Narrow, KvFormat Kv, int HeadDim), KernelVariant> _variants = [];

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, LabelView labels, ScoreView score, SelectView select, KvView cache, ArrayView<float> keys, OwnRowView own, ArrayView<float> q, ArrayView<float> y,
        ArrayView<float> partials, ArrayView<float> sums, AttentionArgs attention, ResidentArgs args);

    /// <summary>Launches so far.</summary>
    public int Launches { get; private set; }

    /// <summary>Scores, selects and attends as <see cref="GpuFusedStep.TryRun"/>; false where nothing was done because other kernels are to.</summary>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public bool TryRun(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, LabelChoice choice, OwnRows? own, DeviceSpan y, AcceleratorStream stream)
    {
        if (Plan(shape, cache, batch, choice) is not var (plan, variant) || !select.Resident.AreResident(variant)) return false;
        AttentionLaunch.Check(shape, cache);
        var view = GpuSelect.View(shape, choice.Rule, batch, choice.Scores, choice.Sets);
        view.Scratch = select.Memory(choice.Scores).View(mass: false);
        var (partials, sums) = attention.Scratch(shape, batch, plan.Groups);
        long floats = (long)batch.Rows * shape.Heads * shape.HeadDim;
        device.Kernels.Load<Launcher>(variant)(stream, GpuResidentScore.Config(variant, plan, choice, batch),
            GpuLabels.View(choice.Shape, choice.Labels, batch), GpuScore.View(choice.Shape, choice.Labels, batch, choice.Queries, choice.Reduction, choice.Scores), view, AttentionLaunch.View(cache, batch, choice.Sets),
            GpuLabels.Keys(choice, batch), AttentionLaunch.View(own, shape, cache, batch), GpuBuffer.View<float>(q, floats), GpuBuffer.View<float>(y, floats), partials, sums,
            AttentionLaunch.Args(shape, batch, TensorDecodeKernel.MaxSlots, choice.Sets), plan.Args);
        Launches++;
        chain.Attended(startsEarly: false);
        return true;
    }

    /// <summary>Whether <see cref="TryRun"/> takes steps like this one, as far as is known without the kernel.</summary>
    public bool Serves(AttentionShape shape, KvLayer cache, StepBatch batch, LabelChoice choice) => Plan(shape, cache, batch, choice) is not null;

    private (ResidentPlan Plan, KernelVariant Variant)? Plan(AttentionShape shape, KvLayer cache, StepBatch batch, LabelChoice choice)
    {
        if (!tensorCores || !(device.Accelerator is CudaAccelerator { Architecture.Major: >= 8 } || device.Kind == GpuKind.CpuAccelerator)
            || batch is not { IsPrefill: false, Rows: > 0 } || cache is not { Format: KvFormat.F16 or KvFormat.BF16, Offload: null, Table: null }
            || !(device.IsCuda ? FusedStepKernel.HeadDims : HeadSizes.All).Contains(shape.HeadDim) || shape.Heads / choice.Scores.Sets > TensorDecodeKernel.MaxSlots
            || select.Resident.Plan(choice, batch) is not { } plan) return null;
        var element = TensorElements.Of(cache.Format);
        if (!ResidentStepKernel.Serves(plan.Tiles, element)) return null;
        var key = (choice.Labels.Format, plan.Tiles, plan.Narrow, cache.Format, shape.HeadDim);
        if (!_variants.TryGetValue(key, out var variant))
        {
            // the CPU accelerator's groups have fewer threads, whose rings are longer
            if ((device.IsCuda ? ResidentStepKernel.Tuning : ResidentStepKernel.Tuning.On(device).For(cache.Format, shape.HeadDim, 16 * plan.Args.WorkUnits)) is not { } tuning) return null;
            _variants[key] = variant = ResidentStepKernel.Variant(choice.Labels.Format, plan.Tiles, plan.Narrow, element, shape.HeadDim, tuning);
        }
        return (plan, variant);
    }
}
