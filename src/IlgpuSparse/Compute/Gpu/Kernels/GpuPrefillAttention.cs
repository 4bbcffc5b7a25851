using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Causal attention of a prefill chunk.</summary>
internal sealed class GpuPrefillAttention(GpuDevice device)
{
    private readonly Dictionary<KvFormat, AttentionLaunch.Portable> _launchers = [];

    /// <summary>y[row] = softmax(q·Kᵀ/√d)·V over the tokens that each row's position may see.</summary>
    public void Run(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y, AcceleratorStream stream)
    {
        AttentionLaunch.Check(shape, cache);
        if (!batch.IsPrefill) throw new ArgumentException("the batch is not a prefill chunk", nameof(batch));
        if (batch.Rows == 0) return;
        if (!_launchers.TryGetValue(cache.Format, out var launch))
            _launchers[cache.Format] = launch = device.Kernels.Load<AttentionLaunch.Portable>(PortableAttentionKernel.Variant(AttentionLaunch.Codec(cache.Format), typeof(CausalTokens)));
        var args = AttentionLaunch.Args(shape, batch, PortableAttentionKernel.MaxSlots);
        args.Slots = PortableAttentionKernel.MaxSlots; // rows of one query head
        args.Parts = shape.GroupSize;
        long floats = (long)batch.Rows * shape.Heads * shape.HeadDim;
        var queries = GpuBuffer.View<float>(q, floats);
        launch(stream, new KernelConfig(new Index3D(1, shape.Heads, LaunchShapes.Groups(batch.Rows, args.Slots)), new Index3D(device.GroupSize(PortableAttentionKernel.GroupSize), 1, 1)),
            AttentionLaunch.View(cache, batch), queries, GpuBuffer.View<float>(y, floats), queries, queries, args);
    }
}
