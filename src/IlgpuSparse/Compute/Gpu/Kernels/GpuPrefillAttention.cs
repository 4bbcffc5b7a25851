using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Causal attention of a prefill chunk: <see cref="TensorPrefillKernel"/> on CUDA for 16-bit K and V, else <see cref="PortableAttentionKernel"/>.</summary>
/// <param name="device">The device.</param>
/// <param name="tensorCores">Whether to use the tensor-core kernel where it has a variant; tests use it on the CPU accelerator too.</param>
/// <param name="precision">What becomes of fp32 queries and weights on tensor cores.</param>
internal sealed class GpuPrefillAttention(GpuDevice device, bool tensorCores, ProductPrecision precision)
{
    private readonly Dictionary<KvFormat, AttentionLaunch.Portable> _portable = [];
    private readonly Dictionary<(KvFormat Format, int HeadDim, PrefillTile Tile), Launcher> _tensor = [];

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, KvView cache, ArrayView<float> q, ArrayView<float> y, AttentionArgs args);

    /// <summary>The tile to use instead of the best one: for tests.</summary>
    public PrefillTile? FixedTile { get; set; }

    private bool KeepsRest => precision == ProductPrecision.Single;

    /// <summary>y[row] = softmax(q·Kᵀ/√d)·V over the tokens that each row's position may see.</summary>
    public void Run(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y, AcceleratorStream stream)
    {
        AttentionLaunch.Check(shape, cache);
        if (!batch.IsPrefill) throw new ArgumentException("the batch is not a prefill chunk", nameof(batch));
        if (batch.Rows == 0) return;
        var view = AttentionLaunch.View(cache, batch);
        long floats = (long)batch.Rows * shape.Heads * shape.HeadDim;
        var queries = GpuBuffer.View<float>(q, floats);
        var outputs = GpuBuffer.View<float>(y, floats);
        if (Tile(cache.Format, shape.HeadDim) is { } tile) Tensor(tile, shape, cache.Format, batch, view, queries, outputs, stream);
        else Portable(shape, cache.Format, batch, view, queries, outputs, stream);
    }

    // The tile of the tensor-core kernel, or null where it does not serve.
    private PrefillTile? Tile(KvFormat format, int headDim)
    {
        if (!tensorCores || format is not (KvFormat.F16 or KvFormat.BF16) || !HeadSizes.All.Contains(headDim)) return null;
        return FixedTile ?? PrefillTile.For(headDim, KeepsRest, device.MaxGroupSize, device.IsCuda ? device.MaxSharedBytes : TensorDecodeKernel.HopperSharedBytes);
    }

    private void Tensor(PrefillTile tile, AttentionShape shape, KvFormat format, StepBatch batch, KvView view, ArrayView<float> q, ArrayView<float> y, AcceleratorStream stream)
    {
        var variant = tile.Variant(TensorElements.Of(format), shape.HeadDim, KeepsRest ? typeof(RestKept) : typeof(RestDropped));
        if (!_tensor.TryGetValue((format, shape.HeadDim, tile), out var launch)) _tensor[(format, shape.HeadDim, tile)] = launch = device.Kernels.Load<Launcher>(variant);
        int groups = LaunchShapes.Groups((long)LaunchShapes.Groups(batch.Rows, tile.Rows) * shape.Heads, 1);
        launch(stream, new KernelConfig(new Index3D(groups, 1, 1), new Index3D(variant.GroupSize, 1, 1), SharedMemoryConfig.RequestDynamic<byte>(variant.DynamicSharedBytes)),
            view, q, y, AttentionLaunch.Args(shape, batch, 1));
    }

    private void Portable(AttentionShape shape, KvFormat format, StepBatch batch, KvView view, ArrayView<float> q, ArrayView<float> y, AcceleratorStream stream)
    {
        if (!_portable.TryGetValue(format, out var launch))
            _portable[format] = launch = device.Kernels.Load<AttentionLaunch.Portable>(PortableAttentionKernel.Variant(AttentionLaunch.Codec(format), typeof(CausalTokens)));
        var args = AttentionLaunch.Args(shape, batch, PortableAttentionKernel.MaxSlots);
        args.Slots = PortableAttentionKernel.MaxSlots; // rows of one query head
        args.Parts = shape.GroupSize;
        launch(stream, new KernelConfig(new Index3D(1, shape.Heads, LaunchShapes.Groups(batch.Rows, args.Slots)), new Index3D(device.GroupSize(PortableAttentionKernel.GroupSize), 1, 1)),
            view, q, y, q, q, args);
    }
}
