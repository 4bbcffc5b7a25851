using ILGPU;
using ILGPU.Runtime;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Launches <see cref="AdvanceKernel"/> and <see cref="FeedBackKernel"/>.</summary>
internal sealed class GpuPositions(GpuDevice device)
{
    private Action<AcceleratorStream, KernelConfig, ArrayView<int>, int>? _launch;

    private FeedBackLauncher? _feedBack;

    private delegate void FeedBackLauncher(AcceleratorStream stream, KernelConfig config, ArrayView<int> positions, ArrayView<int> ids, ArrayView<int> history, int rows, int slots);

    /// <summary>Moves the rows of a decode step on by one token.</summary>
    public void Advance(StepBatch batch, AcceleratorStream stream)
    {
        if (batch.IsPrefill) throw new ArgumentException("only the positions of decode steps advance", nameof(batch));
        if (batch.Rows == 0) return;
        _launch ??= device.Kernels.Load<Action<AcceleratorStream, KernelConfig, ArrayView<int>, int>>(AdvanceKernel.Variant);
        _launch(stream, new KernelConfig(LaunchShapes.Groups(batch.Rows, AdvanceKernel.GroupSize), AdvanceKernel.GroupSize), GpuBuffer.View<int>(batch.Positions, batch.Rows), batch.Rows);
    }

    /// <summary>Keeps the drawn <paramref name="ids"/> in <paramref name="history"/> and moves the rows on.</summary>
    public void FeedBack(StepBatch batch, DeviceSpan ids, DeviceSpan history, int slots, AcceleratorStream stream)
    {
        if (batch.Rows == 0) return;
        _feedBack ??= device.Kernels.Load<FeedBackLauncher>(FeedBackKernel.Variant);
        _feedBack(stream, new KernelConfig(LaunchShapes.Groups(batch.Rows, FeedBackKernel.GroupSize), FeedBackKernel.GroupSize), GpuBuffer.View<int>(batch.Positions, batch.Rows),
            GpuBuffer.View<int>(ids, batch.Rows), GpuBuffer.View<int>(history, (long)batch.Rows * slots), batch.Rows, slots);
    }
}
