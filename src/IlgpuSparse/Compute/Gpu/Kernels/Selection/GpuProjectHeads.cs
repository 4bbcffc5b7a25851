using ILGPU;
using ILGPU.Runtime;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Launches <see cref="ProjectHeadsKernel"/>.</summary>
internal sealed class GpuProjectHeads(GpuDevice device)
{
    private Launcher? _launch;

    private delegate void Launcher(
        AcceleratorStream stream, KernelConfig config, ArrayView<float> x, ArrayView<float> matrix, ArrayView<float> y, int rows, int heads, int groupSize, int inputs, int paddedInputs, int outputs, int widthShift);

    /// <summary>See <see cref="ComputeBackend.ProjectHeads"/>.</summary>
    public void Run(HeadProjection projection, int heads, DeviceSpan x, int rows, DeviceSpan y, AcceleratorStream stream)
    {
        if (rows == 0) return;
        if (projection.Inputs > ProjectHeadsKernel.MaxInputs) throw new ArgumentException($"heads of {projection.Inputs} channels, at most {ProjectHeadsKernel.MaxInputs} are supported", nameof(projection));
        _launch ??= device.Kernels.Load<Launcher>(ProjectHeadsKernel.Variant);
        int threads = device.GroupSize(ProjectHeadsKernel.GroupSize), widthShift = 4;
        // parts of an input unit at least
        while (1 << widthShift < projection.Outputs && 1 << widthShift < threads || threads >> widthShift > HeadProjection.InputUnit / 4) widthShift++;
        _launch(stream,
            new KernelConfig(new Index3D(LaunchShapes.Groups(rows, ProjectHeadsKernel.Rows), heads, LaunchShapes.Groups(projection.Outputs, 1 << widthShift)), new Index3D(threads, 1, 1)),
            GpuBuffer.View<float>(x, (long)rows * heads * projection.Inputs), GpuBuffer.View<float>(projection.Matrix), GpuBuffer.View<float>(y, (long)rows * heads * projection.Outputs), rows, heads,
            heads / projection.KvHeads, projection.Inputs, projection.PaddedInputs, projection.Outputs, widthShift);
    }
}
