using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Launches <see cref="EmbedKernel"/>.</summary>
internal sealed class GpuEmbedding(GpuDevice device)
{
    private readonly Launcher?[] _launch = new Launcher?[WeightCodecs.All.Length];

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, ArrayView<ushort> table, ArrayView<int> ids, ArrayView<float> x, int vocabulary, int quads);

    /// <summary>x[row] = table[ids[row]].</summary>
    public void Run(WeightMatrix table, DeviceSpan ids, int rows, DeviceSpan x, AcceleratorStream stream)
    {
        if (rows == 0) return;
        var launch = _launch[(int)table.Format] ??= device.Kernels.Load<Launcher>(EmbedKernel.Variant(WeightCodecs.Of(table.Format)));
        launch(stream, new KernelConfig(rows, device.GroupSize(EmbedKernel.GroupSize)), GpuBuffer.View<ushort>(table.Data),
            GpuBuffer.View<int>(ids, rows), GpuBuffer.View<float>(x, (long)rows * table.Columns), table.Rows, table.Columns / 4);
    }
}
