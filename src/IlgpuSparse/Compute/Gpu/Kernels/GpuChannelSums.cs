using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Calibration;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Launches <see cref="ChannelSumKernel"/>.</summary>
internal sealed class GpuChannelSums(GpuDevice device)
{
    private Launcher? _launch;

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, ArrayView<float> q, ArrayView<float> k, ArrayView<float> parts, int rows, int partRows, int before, int kvHeads, int group, int headDim);

    /// <summary>As <see cref="ComputeBackend.TrySumChannels"/>.</summary>
    public void Run(AttentionShape shape, int rows, DeviceSpan q, DeviceSpan k, DeviceSpan parts, int partRows, int before, AcceleratorStream stream)
    {
        if (rows == 0) return;
        _launch ??= device.Kernels.Load<Launcher>(ChannelSumKernel.Variant);
        long queries = (long)rows * shape.Heads * shape.HeadDim, keys = (long)rows * shape.KvHeads * shape.HeadDim;
        int count = ChannelStatistics.Parts(rows, partRows, before);
        _launch(stream, new KernelConfig(new Index3D(shape.KvHeads, count, 1), new Index3D(device.GroupSize(ChannelSumKernel.GroupSize), 1, 1)),
            GpuBuffer.View<float>(q, queries), GpuBuffer.View<float>(k, keys), GpuBuffer.View<float>(parts, ChannelStatistics.PartFloats(count, shape.KvHeads, shape.HeadDim)), rows, partRows, before, shape.KvHeads, shape.GroupSize, shape.HeadDim);
    }
}
