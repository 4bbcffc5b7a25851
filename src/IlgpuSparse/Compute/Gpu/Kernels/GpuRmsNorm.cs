using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Launches <see cref="RmsNormKernel"/>.</summary>
internal sealed class GpuRmsNorm(GpuDevice device)
{
    private readonly Launcher?[] _launch = new Launcher?[WeightCodecs.Plain.Length];

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, ArrayView<float> x, ArrayView<ushort> weight, ArrayView<float> y, int quads, float epsilon);

    /// <summary>y = x / sqrt(mean(x²) + ε) · weight.</summary>
    public void Run(DeviceSpan x, WeightMatrix weight, float epsilon, int rows, DeviceSpan y, AcceleratorStream stream)
    {
        int format = Array.IndexOf(WeightCodecs.Plain, weight.Format);
        if (format < 0) throw new ArgumentException($"{weight.Name}: a norm's weight is {weight.Format}; F32, F16 or BF16 is needed", nameof(weight));
        if (rows == 0) return;
        var launch = _launch[format] ??= device.Kernels.Load<Launcher>(RmsNormKernel.Variant(WeightCodecs.Of(weight.Format)));
        long count = (long)rows * weight.Columns;
        launch(stream, new KernelConfig(rows, device.GroupSize(RmsNormKernel.GroupSize)), GpuBuffer.View<float>(x, count), GpuBuffer.View<ushort>(weight.Data),
            GpuBuffer.View<float>(y, count), weight.Columns / 4, epsilon);
    }
}
