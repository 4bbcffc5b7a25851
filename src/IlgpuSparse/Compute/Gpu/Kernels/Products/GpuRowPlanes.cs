using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>Makes operands of <see cref="TensorProductKernel"/>: activations rounded, with a norm before where there is one, and panels of quantised matrices.</summary>
internal sealed class GpuRowPlanes(GpuDevice device, MemoryLedger ledger, ProductPrecision precision) : IDisposable
{
    /// <summary>Room for the decoded rows of quantised matrices: what stays in the L2 cache of a large GPU.</summary>
    private const long PanelBytes = 32 << 20;

    /// <summary>Panels are whole tiles, also when two matrices share the room.</summary>
    private const int PanelUnit = 256;

    private readonly GpuScratch _planes = new(device, ledger), _scales = new(device, ledger), _expertPlanes = new(device, ledger), _expertScales = new(device, ledger);
    private readonly GpuScratch _panel = new(device, ledger), _panelScales = new(device, ledger);
    private readonly Dictionary<(Type Codec, bool Brain), Rounder> _rounders = [];
    private readonly Dictionary<(WeightFormat Norm, bool Brain), NormRounder> _normRounders = [];

    private delegate void Rounder(AcceleratorStream stream, KernelConfig config, ArrayView<ushort> source, ArrayView<ushort> planes, ArrayView<float> scales, ArrayView<int> counts, int expert, int quads, int firstRow, int planeRows, int count);

    private delegate void NormRounder(AcceleratorStream stream, KernelConfig config, ArrayView<float> x, ArrayView<ushort> weight, ArrayView<ushort> planes, ArrayView<float> scales, int quads, float epsilon, int count);

    private int PanelPlanes => precision == ProductPrecision.Half ? 1 : 2;

    /// <summary>Whether numbers of <paramref name="format"/> are multiplied as bfloat16; else in half precision.</summary>
    public static bool IsBrain(WeightFormat format) => format == WeightFormat.BF16;

    /// <summary>Whether numbers of <paramref name="format"/> are multiplied as they are stored.</summary>
    public static bool IsStored(WeightFormat format) => format is WeightFormat.F16 or WeightFormat.BF16;

    /// <summary>The element type of operands.</summary>
    public static Type Element(bool brain) => brain ? typeof(TensorBF16) : typeof(TensorF16);

    /// <summary>Activations <c>[row, column]</c> as an operand for weights of <paramref name="format"/>; valid until the next call.</summary>
    public RowPlanes Round(DeviceSpan x, int rows, int columns, WeightFormat format, AcceleratorStream stream)
    {
        var planes = Operand(_planes, _scales, rows, columns, format);
        Round(x, planes, columns, planes.Scales.Cast<int>(), -1, stream);
        return planes;
    }

    /// <summary>As <see cref="Round(DeviceSpan, int, int, WeightFormat, AcceleratorStream)"/> of normalised activations.</summary>
    public RowPlanes Round(NormedInput input, int rows, int columns, WeightFormat format, AcceleratorStream stream)
    {
        if (Array.IndexOf(WeightCodecs.Plain, input.Norm.Format) < 0) throw new ArgumentException($"{input.Norm.Name}: a norm's weight is {input.Norm.Format}; F32, F16 or BF16 is needed", nameof(input));
        var planes = Operand(_planes, _scales, rows, columns, format);
        if (!_normRounders.TryGetValue((input.Norm.Format, planes.Brain), out var round))
            _normRounders[(input.Norm.Format, planes.Brain)] = round = device.Kernels.Load<NormRounder>(NormPlanesKernel.Variant(WeightCodecs.Of(input.Norm.Format), Element(planes.Brain)));
        round(stream, new KernelConfig(rows, device.GroupSize(NormPlanesKernel.GroupSize)), GpuBuffer.View<float>(input.X, (long)rows * columns), GpuBuffer.View<ushort>(input.Norm.Data),
            planes.Data, planes.Scales, columns / 4, input.Epsilon, planes.Planes);
        return planes;
    }

    /// <summary>The first rows of <paramref name="x"/>, as many as <c>list.Expert</c> has; other operands stay valid.</summary>
    public RowPlanes Round(DeviceSpan x, RowList list, int rows, int columns, WeightFormat format, AcceleratorStream stream)
    {
        var planes = Operand(_expertPlanes, _expertScales, rows, columns, format);
        Round(x, planes, columns, list.Counts, list.Expert, stream);
        return planes;
    }

    /// <summary>
    /// Rows <paramref name="first"/> .. + <paramref name="rows"/> - 1 of a matrix, decoded unless it is multiplied as stored; valid until the next call with the same
    /// <paramref name="place"/>, the number of the matrix among <paramref name="matrices"/>.
    /// </summary>
    public RowPlanes Weights(WeightMatrix weight, int first, int rows, int place, int matrices, AcceleratorStream stream)
    {
        if (IsStored(weight.Format))
        {
            var stored = GpuBuffer.View<ushort>(weight.Data).SubView((long)first * weight.Columns, (long)rows * weight.Columns);
            return new RowPlanes(IsBrain(weight.Format), stored, stored.Cast<float>(), Scaled: false, 1, rows);
        }
        int most = PanelRows(weight.Rows, weight.Columns, matrices);
        long room = (long)most * weight.Columns * PanelPlanes;
        var data = GpuBuffer.View<ushort>(_panel.Reserve(matrices * room * sizeof(ushort))).SubView(place * room, room);
        var scales = GpuBuffer.View<float>(_panelScales.Reserve((long)matrices * most * sizeof(float))).SubView(place * most, most);
        var planes = new RowPlanes(false, data, scales, Scaled: true, PanelPlanes, rows);
        Round(WeightCodecs.Of(weight.Format), GpuBuffer.View<ushort>(weight.Data), planes, weight.Columns, first, scales.Cast<int>(), -1, stream);
        return planes;
    }

    /// <summary>Rows of a matrix that are decoded at a time when <paramref name="matrices"/> share the room.</summary>
    public int PanelRows(int rows, int columns, int matrices)
    {
        long most = PanelBytes / ((long)columns * PanelPlanes * matrices * sizeof(ushort)) / PanelUnit * PanelUnit;
        return (int)Math.Clamp(most, PanelUnit, Math.Max(PanelUnit, (rows + PanelUnit - 1) / PanelUnit * PanelUnit));
    }

    /// <summary>Bytes of all operands for up to <paramref name="rows"/> activation rows of a decoder.</summary>
    public long[] Sizes(LlamaConfig config, IReadOnlyCollection<WeightFormat> formats, int rows)
    {
        var matrices = WeightPlan.Of(config).Where(weight => weight.Shape.Length == 2).Select(weight => (Rows: (int)weight.Shape[0], Columns: (int)weight.Shape[1])).Distinct().ToList();
        var panels = formats.Any(format => format.BlockElements() > 1) ? matrices.SelectMany(m => new[] { (m.Columns, Rows: PanelRows(m.Rows, m.Columns, 1)), (m.Columns, Rows: 2 * PanelRows(m.Rows, m.Columns, 2)) }).ToList() : [];
        long planes = formats.Max(Planes), experts = config.Experts > 0 ? rows : 0;
        return
        [
            rows * matrices.Max(m => m.Columns) * planes * sizeof(ushort),
            (long)rows * sizeof(float),
            experts * config.IntermediateSize * planes * sizeof(ushort),
            experts * sizeof(float),
            panels.Select(p => (long)p.Rows * p.Columns * PanelPlanes * sizeof(ushort)).DefaultIfEmpty().Max(),
            panels.Select(p => (long)p.Rows * sizeof(float)).DefaultIfEmpty().Max(),
        ];
    }

    /// <summary>Allocates <see cref="Sizes"/>.</summary>
    public void Reserve(long[] sizes)
    {
        GpuScratch[] buffers = [_planes, _scales, _expertPlanes, _expertScales, _panel, _panelScales];
        for (int i = 0; i < buffers.Length; i++)
            if (sizes[i] > 0) buffers[i].Reserve(sizes[i]);
    }

    // 24 bits are three bfloat16, or two halves less two bits.
    private int Planes(WeightFormat format) => precision == ProductPrecision.Half ? 1 : IsBrain(format) ? 3 : 2;

    private RowPlanes Operand(GpuScratch planes, GpuScratch scales, int rows, int columns, WeightFormat format)
    {
        bool brain = IsBrain(format);
        long numbers = (long)rows * columns * Planes(format);
        return new RowPlanes(brain, GpuBuffer.View<ushort>(planes.Reserve(numbers * sizeof(ushort)), numbers), GpuBuffer.View<float>(scales.Reserve((long)rows * sizeof(float)), rows), !brain, Planes(format), rows);
    }

    private void Round(DeviceSpan x, RowPlanes planes, int columns, ArrayView<int> counts, int expert, AcceleratorStream stream) =>
        Round(typeof(F32Weights), GpuBuffer.View<float>(x, (long)planes.Rows * columns).Cast<ushort>(), planes, columns, 0, counts, expert, stream);

    private void Round(Type codec, ArrayView<ushort> source, RowPlanes planes, int columns, int first, ArrayView<int> counts, int expert, AcceleratorStream stream)
    {
        if (!_rounders.TryGetValue((codec, planes.Brain), out var round)) _rounders[(codec, planes.Brain)] = round = device.Kernels.Load<Rounder>(RowPlanesKernel.Variant(codec, Element(planes.Brain)));
        round(stream, new KernelConfig(planes.Rows, device.GroupSize(RowPlanesKernel.GroupSize)), source, planes.Data, planes.Scales, counts, expert, columns / 4, first, planes.Rows, planes.Planes);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var scratch in new[] { _planes, _scales, _expertPlanes, _expertScales, _panel, _panelScales }) scratch.Dispose();
    }
}
