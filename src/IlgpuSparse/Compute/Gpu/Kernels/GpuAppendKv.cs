using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Launches <see cref="AppendKvKernel"/>.</summary>
internal sealed class GpuAppendKv(GpuDevice device)
{
    private readonly Dictionary<KvFormat, Launcher> _launchers = [];

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, KvView cache, ArrayView<float> k, ArrayView<float> v, AttentionArgs args, int tableStep);

    /// <summary>Writes K and V of the batch's rows at their positions.</summary>
    public void Run(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan k, DeviceSpan v, AcceleratorStream stream)
    {
        AttentionLaunch.Check(shape, cache);
        if (batch.Rows == 0) return;
        if (batch.Rows > LaunchShapes.MaxGridY) throw new ArgumentException($"{batch.Rows} rows of a pass are more than {LaunchShapes.MaxGridY}", nameof(batch));
        if (!_launchers.TryGetValue(cache.Format, out var launch))
            _launchers[cache.Format] = launch = device.Kernels.Load<Launcher>(AppendKvKernel.Variant(AttentionLaunch.Codec(cache.Format)));
        long floats = (long)batch.Rows * shape.KvHeads * shape.HeadDim;
        launch(stream, new KernelConfig(new Index3D(shape.KvHeads, batch.Rows, 2), new Index3D(device.GroupSize(AppendKvKernel.GroupSize), 1, 1)), AttentionLaunch.View(cache, batch),
            GpuBuffer.View<float>(k, floats), GpuBuffer.View<float>(v, floats), AttentionLaunch.Args(shape, batch, 1), batch.IsPrefill ? 0 : batch.MaxBlocks);
    }
}
