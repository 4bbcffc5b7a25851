using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Launches <see cref="ValueSumKernel"/>, <see cref="ValuePrefixKernel"/> and <see cref="MeanValueKernel"/>.</summary>
internal sealed class GpuMeanValue(GpuDevice device)
{
    private delegate void Summer(AcceleratorStream stream, KernelConfig config, KvView cache, ArrayView<float> sums, ArrayView<int> counts, AttentionArgs args, int chunk);

    private delegate void Prefixer(AcceleratorStream stream, KernelConfig config, KvView cache, ArrayView<float> sums, AttentionArgs args, int chunk);

    private delegate void Blender(AcceleratorStream stream, KernelConfig config, KvView cache, ArrayView<float> sums, ArrayView<float> shares, ArrayView<float> y, AttentionArgs args);

    /// <summary>As <see cref="ComputeBackend.AppendValueSums"/>.</summary>
    public void Append(AttentionShape shape, KvLayer cache, ValueSums sums, StepBatch batch, AcceleratorStream stream)
    {
        AttentionLaunch.Check(shape, cache);
        if (batch.Rows == 0) return;
        var view = AttentionLaunch.View(cache, batch);
        var args = AttentionLaunch.Args(shape, batch, 1);
        var values = GpuBuffer.View<float>(sums.Sums);
        int group = device.GroupSize(ValueSumKernel.GroupSize), chunk = batch.IsPrefill ? batch.Rows : 0;
        // a chunk may begin in the middle of a block
        int groups = batch.IsPrefill ? (batch.Rows - 1) / KvLayer.BlockTokens + 2 : batch.Rows;
        device.Kernels.Load<Summer>(ValueSumKernel.Variant(AttentionLaunch.Codec(cache.Format)))(stream, new KernelConfig(new Index3D(shape.KvHeads, groups, 1), new Index3D(group, 1, 1)),
            view, values, GpuBuffer.View<int>(sums.Counts), args, chunk);
        if (batch.IsPrefill) device.Kernels.Load<Prefixer>(ValuePrefixKernel.Variant)(stream, new KernelConfig(new Index3D(shape.KvHeads, 1, 1), new Index3D(group, 1, 1)), view, values, args, chunk);
    }

    /// <summary>As <see cref="ComputeBackend.BlendMeanValue"/>.</summary>
    public void Blend(AttentionShape shape, KvLayer cache, ValueSums sums, StepBatch batch, TokenSets sets, DeviceSpan y, AcceleratorStream stream)
    {
        AttentionLaunch.Check(shape, cache);
        if (sets.Shares is null) throw new ArgumentException("the token sets have no shares of the mass", nameof(sets));
        if (batch.Rows == 0) return;
        device.Kernels.Load<Blender>(MeanValueKernel.Variant(AttentionLaunch.Codec(cache.Format)))(stream,
            new KernelConfig(new Index3D(shape.KvHeads, batch.Rows, 1), new Index3D(device.GroupSize(MeanValueKernel.GroupSize), 1, 1)), AttentionLaunch.View(cache, batch, sets), GpuBuffer.View<float>(sums.Sums),
            GpuBuffer.View<float>(sets.Shares, (long)batch.Rows * sets.Sets), GpuBuffer.View<float>(y, (long)batch.Rows * shape.Heads * shape.HeadDim), AttentionLaunch.Args(shape, batch, 1, sets));
    }
}
