using ILGPU;
using ILGPU.Runtime;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Launches <see cref="SwiGluKernel"/>.</summary>
internal sealed class GpuSwiGlu(GpuDevice device)
{
    private Launcher? _launch;

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, ArrayView<float> gate, ArrayView<float> up, long count);

    /// <summary>gate = silu(gate) · up.</summary>
    public void Run(DeviceSpan gate, DeviceSpan up, long count, AcceleratorStream stream)
    {
        if (count == 0) return;
        _launch ??= device.Kernels.Load<Launcher>(SwiGluKernel.Variant);
        int threads = device.GroupSize(SwiGluKernel.GroupSize);
        _launch(stream, new KernelConfig(LaunchShapes.Groups(count, threads), threads), GpuBuffer.View<float>(gate, count), GpuBuffer.View<float>(up, count), count);
    }
}
