using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Compute.Gpu.Kernels.Products;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>
/// Mixture of experts with the routing on the device. Of a few rows each takes the experts it was routed to by itself, their matrices found through a table of addresses: four launches, whatever was chosen.
/// Of many rows those of each expert are listed, then every expert's products run over its list; groups without rows end at once, so the weights of experts that nobody chose are not read. Experts follow one
/// another on the stream, which makes the sums deterministic.
/// </summary>
internal sealed class GpuExperts(GpuDevice device, GpuMatMul matMul, GpuLinear linear, GpuSwiGlu swiGlu, MemoryLedger ledger) : IDisposable
{
    /// <summary>Most rows that read experts by themselves: beyond, rows share enough of them.</summary>
    private const int FewRows = 4;

    private readonly Dictionary<ExpertWeights, GpuBuffer> _tables = new(ReferenceEqualityComparer.Instance);
    private Chooser? _choose;
    private Lister? _list;
    private Combiner? _combine;
    private GpuBuffer? _chosen, _weights, _rows, _rowWeights, _counts, _gate, _up;

    private delegate void Chooser(AcceleratorStream stream, KernelConfig config, ArrayView<float> logits, ArrayView<int> chosen, ArrayView<float> weights, int rows, int experts, int active);

    private delegate void Lister(AcceleratorStream stream, KernelConfig config, ArrayView<int> chosen, ArrayView<float> weights, RowList list, int rows, int experts, int active);

    private delegate void Combiner(AcceleratorStream stream, KernelConfig config, ArrayView<float> outputs, ArrayView<float> weights, ArrayView<float> y, int rows, int width, int active);

    /// <summary>y += Σ p_e · down_e(silu(gate_e x) · up_e x) over the chosen experts e.</summary>
    public void Run(ExpertWeights experts, DeviceSpan x, int rows, DeviceSpan router, DeviceSpan y, AcceleratorStream stream)
    {
        if (rows == 0) return;
        int count = experts.Gate.Count, active = experts.Active, intermediate = experts.Gate[0].Rows;
        if (active < 1 || active > count) throw new ArgumentException($"{active} active experts of {count}", nameof(experts));
        if ((long)rows * active > int.MaxValue) throw new ArgumentException($"{rows} rows with {active} experts each are too many", nameof(rows));
        Reserve(ref _chosen, (long)rows * active);
        Reserve(ref _weights, (long)rows * active);
        Choose(experts, router, rows, stream);
        if (rows <= FewRows && TryFew(experts, x, rows, y, stream)) return;
        Reserve(ref _rows, (long)rows * count);
        Reserve(ref _rowWeights, (long)rows * count);
        Reserve(ref _counts, count);
        Reserve(ref _gate, (long)rows * intermediate);

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
        _list(stream, new KernelConfig(LaunchShapes.Groups(count, threads), threads), chosen, weights, list, rows, count, active);
        if (matMul.Tensor is { } tensor && Enumerable.Range(0, count).All(e => GpuTensorMatMul.ServesGated(rows, experts.Gate[e], experts.Up[e]) && GpuTensorMatMul.Serves(rows, experts.Gate[0], experts.Gate[e], experts.Down[e])))
        {
            Tensor(tensor, experts, x, rows, y, list, stream);
            return;
        }
        Reserve(ref _up, (long)rows * intermediate);
        for (int e = 0; e < count; e++)
        {
            list.Expert = e;
            matMul.RunExpert<GatherRows>(experts.Gate[e], x, rows, _gate!, list, accumulate: false, stream);
            matMul.RunExpert<GatherRows>(experts.Up[e], x, rows, _up!, list, accumulate: false, stream);
            swiGlu.Run(_gate!, _up!, (long)rows * intermediate, stream);
            matMul.RunExpert<ScatterRows>(experts.Down[e], _gate!, rows, y, list, accumulate: true, stream);
        }
    }

    private void Choose(ExpertWeights experts, DeviceSpan router, int rows, AcceleratorStream stream)
    {
        _choose ??= device.Kernels.Load<Chooser>(ExpertRouteKernel.ChooseVariant);
        int threads = device.GroupSize(ExpertRouteKernel.GroupSize), count = experts.Gate.Count;
        _choose(stream, new KernelConfig(LaunchShapes.Groups(rows, threads), threads), GpuBuffer.View<float>(router, (long)rows * count), GpuBuffer.View<int>(_chosen!), GpuBuffer.View<float>(_weights!), rows, count, experts.Active);
    }

    private bool TryFew(ExpertWeights experts, DeviceSpan x, int rows, DeviceSpan y, AcceleratorStream stream)
    {
        int active = experts.Active, width = experts.Down[0].Rows;
        Reserve(ref _gate, (long)rows * active * experts.Gate[0].Rows);
        Reserve(ref _up, (long)rows * active * width);
        var slots = new ExpertSlots
        {
            Table = GpuBuffer.View<long>(Table(experts)),
            Chosen = GpuBuffer.View<int>(_chosen!),
            Experts = experts.Gate.Count,
            Active = active,
        };
        if (!linear.TryExperts(experts, slots, rows, x, _gate!, _up!, stream)) return false;
        _combine ??= device.Kernels.Load<Combiner>(ExpertRouteKernel.CombineVariant);
        int threads = device.GroupSize(ExpertRouteKernel.GroupSize);
        _combine(stream, new KernelConfig(LaunchShapes.Groups((long)rows * width, threads), threads), GpuBuffer.View<float>(_up!), GpuBuffer.View<float>(_weights!), GpuBuffer.View<float>(y, (long)rows * width), rows, width, active);
        return true;
    }

    // Addresses [gate, up, down][expert], made at first use.
    private GpuBuffer Table(ExpertWeights experts)
    {
        if (_tables.TryGetValue(experts, out var table)) return table;
        long[] addresses = [.. experts.Gate.Concat(experts.Up).Concat(experts.Down).Select(w => GpuBuffer.Address(w.Data))];
        table = new GpuBuffer(device, addresses.Length * sizeof(long), "scratch", ledger);
        ((DeviceSpan)table).Upload<long>(addresses);
        return _tables[experts] = table;
    }

    private void Tensor(GpuTensorMatMul tensor, ExpertWeights experts, DeviceSpan x, int rows, DeviceSpan y, RowList list, AcceleratorStream stream)
    {
        var first = experts.Gate[0];
        var planes = tensor.Operands.Round(x, rows, first.Columns, first.Format, stream);
        for (int e = 0; e < experts.Gate.Count; e++)
        {
            list.Expert = e;
            tensor.RunExpertGated(new GateUpWeights(experts.Gate[e], experts.Up[e]), planes, _gate!, list, stream);
            tensor.RunExpert(experts.Down[e], tensor.Operands.Round(_gate!, list, rows, first.Rows, experts.Down[e].Format, stream), y, list, stream);
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
        foreach (var table in _tables.Values) table.Dispose();
        foreach (var buffer in new[] { _chosen, _weights, _rows, _rowWeights, _counts, _gate, _up }) buffer?.Dispose();
    }
}
