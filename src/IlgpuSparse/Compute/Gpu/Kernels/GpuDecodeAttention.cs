using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>
/// Attention of one new token a sequence: <see cref="TensorDecodeKernel"/> on CUDA for 16-bit K and V, <see cref="TensorInt8Kernel"/> for bytes, <see cref="F32DecodeKernel"/> for singles; for other head sizes and devices <see cref="PortableAttentionKernel"/>. Lengths and counts are read on the device.
/// A launch that was recorded into a graph stays right until a sequence is longer than <see cref="StepBatch.GridLength"/> at recording.
/// </summary>
/// <param name="device">The device.</param>
/// <param name="ledger">Where scratch memory is accounted.</param>
/// <param name="tensorCores">Whether to use the tensor-core kernel where it has a variant; tests use it on the CPU accelerator too.</param>
/// <param name="chain">What the products around it are to know.</param>
internal sealed class GpuDecodeAttention(GpuDevice device, MemoryLedger ledger, bool tensorCores, ProductChain chain) : IDisposable
{
    private const int PortableMinSplitTokens = 128;
    private const int MaxSplits = 512;

    private readonly GpuScratch _partials = new(device, ledger), _sums = new(device, ledger), _arrivals = new(device, ledger);
    private readonly Dictionary<KernelVariant, Delegate> _launchers = [];
    private readonly Dictionary<(KvFormat Format, int HeadDim, int Slots, DecodeTuning Tuning, bool Selected), KernelVariant> _variants = [];
    private Merger? _merge;

    private delegate void AppendingLauncher(AcceleratorStream stream, KernelConfig config, KvView cache, OwnRowView own, ArrayView<float> q, ArrayView<float> y, ArrayView<float> partials, ArrayView<float> sums, ArrayView<int> arrivals, AttentionArgs args);

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, KvView cache, ArrayView<float> q, ArrayView<float> y, ArrayView<float> partials, ArrayView<float> sums, ArrayView<int> arrivals, AttentionArgs args);

    private delegate void Merger(AcceleratorStream stream, KernelConfig config, ArrayView<float> y, ArrayView<float> partials, ArrayView<float> sums, int splits, int headDim);

    /// <summary>Whether <paramref name="device"/> has what the kernel's instructions need: compute capability 8.0.</summary>
    public static bool HasTensorCores(GpuDevice device) => device.Accelerator is CudaAccelerator { Architecture.Major: >= 8 };

    /// <summary>Launch choices of dense decode.</summary>
    public DecodeTuning DenseTuning { get; set; } = DecodeTuning.Dense.On(device);

    /// <summary>Launch choices of decode over selected tokens.</summary>
    public DecodeTuning SelectedTuning { get; set; } = DecodeTuning.Selected.On(device);

    /// <summary>y = softmax(q·Kᵀ/√d)·V over every visible token. Rows of <paramref name="own"/> are written to the cache meanwhile, where this <see cref="Appends"/>.</summary>
    public void Dense(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y, AcceleratorStream stream, OwnRows? own = null) => Run(shape, cache, batch, q, null, y, stream, own);

    /// <summary>Whether <see cref="Dense"/> writes K and V of the rows' own tokens.</summary>
    public bool Appends(AttentionShape shape, KvLayer cache, StepBatch batch) => cache.Format is KvFormat.F16 or KvFormat.BF16 && AttentionLaunch.CanWriteOwn(shape, cache, batch) && WarpVariant(cache.Format, shape.HeadDim, 0, selected: false) is not null;

    /// <summary>y = softmax(q·Kᵀ/√d)·V over the tokens of <paramref name="sets"/>.</summary>
    public void Selected(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, TokenSets sets, DeviceSpan y, AcceleratorStream stream)
    {
        if (sets.Sets != shape.KvHeads && sets.Sets != shape.Heads) throw new ArgumentException($"{sets.Sets} token sets for {shape.Heads} query heads and {shape.KvHeads} kv heads", nameof(sets));
        Run(shape, cache, batch, q, sets, y, stream);
    }

    private void Run(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, TokenSets? sets, DeviceSpan y, AcceleratorStream stream, OwnRows? own = null)
    {
        AttentionLaunch.Check(shape, cache);
        if (batch.IsPrefill && batch.Rows > 1) throw new ArgumentException($"a prefill chunk of {batch.Rows} rows is not a decode step", nameof(batch));
        if (batch.Rows == 0) return;
        long floats = (long)batch.Rows * shape.Heads * shape.HeadDim;
        var queries = GpuBuffer.View<float>(q, floats);
        var outputs = GpuBuffer.View<float>(y, floats);
        var view = AttentionLaunch.View(cache, batch, sets);
        int entries = batch.GridLength;
        if (shape.Window > 0) entries = Math.Min(entries, shape.Window + TensorDecodeKernel.TileTokens);
        if (sets is not null) entries = Math.Min(entries, sets.Capacity);
        int slots = sets is not null && sets.Sets != shape.KvHeads ? 1 : Math.Min(TensorDecodeKernel.MaxSlots, shape.GroupSize);
        if (WarpVariant(cache.Format, shape.HeadDim, slots, sets is not null) is var (variant, tuning)) Tensor(variant, tuning, shape, cache, batch, sets, own, entries, view, queries, outputs, stream);
        else Portable(shape, cache, batch, sets, entries, view, queries, outputs, stream);
    }

    // The kernel for this device, format and head size, or null where there is none but the portable one.
    private (KernelVariant Variant, DecodeTuning Tuning)? WarpVariant(KvFormat format, int headDim, int slots, bool selected)
    {
        if (!tensorCores || !HeadSizes.All.Contains(headDim)) return null;
        int shared = device.IsCuda ? device.MaxSharedBytes : TensorDecodeKernel.HopperSharedBytes;
        var wanted = format switch { KvFormat.F32 => F32DecodeKernel.Tuning, KvFormat.Int8 => TensorInt8Kernel.Tuning, _ => selected ? SelectedTuning : DenseTuning };
        if (wanted.For(format, headDim, shared) is not { } tuning) return null;
        var key = (format, headDim, format == KvFormat.F32 ? slots : 0, tuning, selected);
        if (!_variants.TryGetValue(key, out var variant))
        {
            var tokens = selected ? typeof(SelectedTokens) : typeof(DenseTokens);
            _variants[key] = variant = format switch
            {
                KvFormat.F32 => F32DecodeKernel.Variant(headDim, slots, tokens),
                KvFormat.Int8 => TensorInt8Kernel.Variant(headDim, tuning, tokens),
                _ => TensorDecodeKernel.Variant(TensorElements.Of(format), headDim, tuning, tokens),
            };
        }
        return (variant, tuning);
    }

    private void Tensor(KernelVariant variant, DecodeTuning tuning, AttentionShape shape, KvLayer cache, StepBatch batch, TokenSets? sets, OwnRows? own, int entries, KvView view, ArrayView<float> q, ArrayView<float> y, AcceleratorStream stream)
    {
        var args = AttentionLaunch.Args(shape, batch, TensorDecodeKernel.MaxSlots, sets, cache.Table);
        args.MinSplitTokens = tuning.MinSplitTokens;
        bool startsEarly = sets is null && cache.Format is (KvFormat.F16 or KvFormat.BF16) && AttentionLaunch.CanWriteOwn(shape, cache, batch);
        args.StartsEarly = startsEarly ? 1 : 0;
        int groups = args.KvHeads * args.Parts * batch.Rows;
        // each group's shared memory decides how many a multiprocessor holds; the driver keeps 1 KB of each for itself
        int resident = Math.Clamp((device.MaxSharedBytes + 1024) / (variant.DynamicSharedBytes + 1024), 1, 16 / tuning.Warps);
        chain.Attended(startsEarly && resident == 1);
        int fill = device.Multiprocessors * resident, splits = Splits(fill * tuning.WavesFor((long)entries * groups / fill) / groups, entries, tuning.MinSplitTokens);
        var (partials, sums) = Scratch(shape, batch, splits);
        var arrivals = GpuBuffer.View<int>(_arrivals.Reserve(groups * sizeof(int), clear: true));
        var config = new KernelConfig(new Index3D(splits, args.KvHeads * args.Parts, batch.Rows), new Index3D(variant.GroupSize, 1, 1), SharedMemoryConfig.RequestDynamic<byte>(variant.DynamicSharedBytes));
        if (cache.Format is KvFormat.F16 or KvFormat.BF16) Load<AppendingLauncher>(variant)(stream, config, view, AttentionLaunch.View(own, shape, cache, batch), q, y, partials, sums, arrivals, args);
        else Load<Launcher>(variant)(stream, config, view, q, y, partials, sums, arrivals, args);
    }

    private void Portable(AttentionShape shape, KvLayer cache, StepBatch batch, TokenSets? sets, int entries, KvView view, ArrayView<float> q, ArrayView<float> y, AcceleratorStream stream)
    {
        chain.Attended(startsEarly: false);
        var variant = PortableAttentionKernel.Variant(AttentionLaunch.Codec(cache.Format), sets is null ? typeof(DenseTokens) : typeof(SelectedTokens));
        var args = AttentionLaunch.Args(shape, batch, PortableAttentionKernel.MaxSlots, sets, cache.Table);
        int groups = args.KvHeads * args.Parts;
        int splits = Splits(device.Multiprocessors * 8 / (groups * batch.Rows), entries, PortableMinSplitTokens);
        var (partials, sums) = Scratch(shape, batch, splits);
        Load<AttentionLaunch.Portable>(variant)(stream, new KernelConfig(new Index3D(splits, groups, batch.Rows), new Index3D(device.GroupSize(variant.GroupSize), 1, 1)), view, q, y, partials, sums, args);
        if (splits == 1) return;
        _merge ??= device.Kernels.Load<Merger>(PortableMergeKernel.Variant);
        _merge(stream, new KernelConfig(batch.Rows * shape.Heads, device.GroupSize(PortableMergeKernel.GroupSize)), y, partials, sums, splits, shape.HeadDim);
    }

    private static int Splits(int wanted, int entries, int minTokens) => Math.Clamp(Math.Min(wanted, (entries + minTokens - 1) / minTokens), 1, MaxSplits);

    /// <summary>Memory for the outputs of <paramref name="splits"/> and for their maxima and sums, see <see cref="TensorDecodeKernel.Run"/>.</summary>
    public (ArrayView<float> Partials, ArrayView<float> Sums) Scratch(AttentionShape shape, StepBatch batch, int splits)
    {
        long parts = splits == 1 ? 0 : (long)batch.Rows * shape.Heads * splits;
        return (GpuBuffer.View<float>(_partials.Reserve(Math.Max(1, parts) * shape.HeadDim * sizeof(float))), GpuBuffer.View<float>(_sums.Reserve(Math.Max(1, parts) * 2 * sizeof(float))));
    }

    private TLaunch Load<TLaunch>(KernelVariant variant) where TLaunch : Delegate
    {
        if (!_launchers.TryGetValue(variant, out var launcher)) _launchers[variant] = launcher = device.Kernels.Load<TLaunch>(variant);
        return (TLaunch)launcher;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _partials.Dispose();
        _sums.Dispose();
        _arrivals.Dispose();
    }
}
