using ILGPU;
using ILGPU.Runtime;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Launches <see cref="AdvanceKernel"/>.</summary>
internal sealed class GpuPositions(GpuDevice device)
{
    private Action<AcceleratorStream, KernelConfig, ArrayView<int>, int>? _launch;

    /// <summary>Moves the rows of a decode step on by one token.</summary>
    public void Advance(StepBatch batch, AcceleratorStream stream)
    {
        if (batch.IsPrefill) throw new ArgumentException("only the positions of decode steps advance", nameof(batch));
        if (batch.Rows == 0) return;
        _launch ??= device.Kernels.Load<Action<AcceleratorStream, KernelConfig, ArrayView<int>, int>>(AdvanceKernel.Variant);
        _launch(stream, new KernelConfig(LaunchShapes.Groups(batch.Rows, AdvanceKernel.GroupSize), AdvanceKernel.GroupSize), GpuBuffer.View<int>(batch.Positions, batch.Rows), batch.Rows);
    }
}
