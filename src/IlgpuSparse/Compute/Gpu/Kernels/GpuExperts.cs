using ILGPU;
using ILGPU.Runtime;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>
/// Mixture of experts with the routing on the device: the rows of each expert are listed, then every expert's products run over its list; groups without rows end at once, so the weights
/// of experts that nobody chose are not read. Experts follow one another on the stream, which makes the sums deterministic.
/// </summary>
internal sealed class GpuExperts(GpuDevice device, GpuMatMul matMul, GpuSwiGlu swiGlu, MemoryLedger ledger) : IDisposable
{
    private Chooser? _choose;
    private Lister? _list;
    private GpuBuffer? _chosen, _weights, _rows, _rowWeights, _counts, _gate, _up;

    private delegate void Chooser(AcceleratorStream stream, KernelConfig config, ArrayView<float> logits, ArrayView<int> chosen, ArrayView<float> weights, int rows, int experts, int active);

    private delegate void Lister(AcceleratorStream stream, KernelConfig config, ArrayView<int> chosen, ArrayView<float> weights, RowList list, int rows, int experts, int active);

    /// <summary>y += Σ p_e · down_e(silu(gate_e x) · up_e x) over the chosen experts e.</summary>
    public void Run(ExpertWeights experts, DeviceSpan x, int rows, DeviceSpan router, DeviceSpan y, AcceleratorStream stream)
    {
        if (rows == 0) return;
        int count = experts.Gate.Count, active = experts.Active, intermediate = experts.Gate[0].Rows;
        if (active < 1 || active > count) throw new ArgumentException($"{active} active experts of {count}", nameof(experts));
        if ((long)rows * active > int.MaxValue) throw new ArgumentException($"{rows} rows with {active} experts each are too many", nameof(rows));
        Reserve(ref _chosen, (long)rows * active);
        Reserve(ref _weights, (long)rows * active);
        Reserve(ref _rows, (long)rows * count);
        Reserve(ref _rowWeights, (long)rows * count);
        Reserve(ref _counts, count);
        Reserve(ref _gate, (long)rows * intermediate);
        Reserve(ref _up, (long)rows * intermediate);

        _choose ??= device.Kernels.Load<Chooser>(ExpertRouteKernel.ChooseVariant);
        _list ??= device.Kernels.Load<Lister>(ExpertRouteKernel.ListVariant);
        int threads = device.GroupSize(ExpertRouteKernel.GroupSize);
        var chosen = GpuBuffer.View<int>(_chosen!);
        var weights = GpuBuffer.View<float>(_weights!);
        var list = new RowList
        {
            Rows = GpuBuffer.View<int>(_rows!),
            Weights = GpuBuffer.View<float>(_rowWeights!),
            Counts = GpuBuffer.View<int>(_counts!),
            Stride = rows,
        };
        _choose(stream, new KernelConfig(LaunchShapes.Groups(rows, threads), threads), GpuBuffer.View<float>(router, (long)rows * count), chosen, weights, rows, count, active);
        _list(stream, new KernelConfig(LaunchShapes.Groups(count, threads), threads), chosen, weights, list, rows, count, active);
        for (int e = 0; e < count; e++)
        {
            list.Expert = e;
            matMul.RunExpert<GatherRows>(experts.Gate[e], x, rows, _gate!, list, accumulate: false, stream);
            matMul.RunExpert<GatherRows>(experts.Up[e], x, rows, _up!, list, accumulate: false, stream);
            swiGlu.Run(_gate!, _up!, (long)rows * intermediate, stream);
            matMul.RunExpert<ScatterRows>(experts.Down[e], _gate!, rows, y, list, accumulate: true, stream);
        }
    }

    private void Reserve(ref GpuBuffer? buffer, long floats)
    {
        if (buffer is not null && buffer.ByteLength >= floats * sizeof(float)) return;
        if (buffer is not null)
        {
            device.Synchronize();
            buffer.Dispose();
            buffer = null;
        }
        buffer = new GpuBuffer(device, floats * sizeof(float), "scratch", ledger);
    }

    public void Dispose()
    {
        foreach (var buffer in new[] { _chosen, _weights, _rows, _rowWeights, _counts, _gate, _up }) buffer?.Dispose();
    }
}
