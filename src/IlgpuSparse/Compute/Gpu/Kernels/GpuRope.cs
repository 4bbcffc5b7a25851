using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Launches <see cref="RopeKernel"/>.</summary>
internal sealed class GpuRope(GpuDevice device)
{
    private Launcher? _launch;

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, ArrayView<float> x, ArrayView<float> frequencies, ArrayView<int> positions, int pairs, int interleaved);

    /// <summary>Rotates <paramref name="x"/> in place by each row's position.</summary>
    public void Run(RopeTable table, StepBatch batch, int heads, DeviceSpan x, AcceleratorStream stream)
    {
        if (batch.Rows == 0) return;
        _launch ??= device.Kernels.Load<Launcher>(RopeKernel.Variant);
        int pairs = table.HeadDim / 2;
        int threads = Math.Min(RopeKernel.GroupSize, (pairs + 15) / 16 * 16);
        _launch(stream, new KernelConfig(new Index3D(batch.Rows, heads, 1), new Index3D(device.GroupSize(threads), 1, 1)), GpuBuffer.View<float>(x, (long)batch.Rows * heads * table.HeadDim),
            GpuBuffer.View<float>(table.InverseFrequencies), GpuBuffer.View<int>(batch.Positions), pairs, table.Style == RopeStyle.Interleaved ? 1 : 0);
    }
}
