using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>
/// Products of many rows on tensor cores. Activations are rounded to planes of 16 bits once (<see cref="RowPlanesKernel"/>); 16-bit weights are multiplied as they are stored, quantised ones
/// are decoded a panel of rows at a time.
/// </summary>
internal sealed class GpuTensorMatMul(GpuDevice device, MemoryLedger ledger, ProductPrecision precision) : IDisposable
{
    /// <summary>Fewest rows that are worth it.</summary>
    public const int MinRows = 9;

    /// <summary>Room for the decoded rows of a quantised matrix: what stays in the L2 cache of a large GPU.</summary>
    private const long PanelBytes = 32 << 20;

    /// <summary>Most room for the sums of splits.</summary>
    private const long SplitBytes = 32 << 20;

    /// <summary>Panels are whole tiles.</summary>
    private const int PanelUnit = 256;

    /// <summary>Most splits of the inputs.</summary>
    private const int MaxSplits = 16;

    private readonly GpuScratch _planes = new(device, ledger), _scales = new(device, ledger), _panel = new(device, ledger), _panelScales = new(device, ledger), _splits = new(device, ledger);
    private readonly Dictionary<(Type Codec, bool Brain), Rounder> _rounders = [];
    private readonly Dictionary<(bool Brain, Type Tile, Type Map), Launcher> _launchers = [];
    private readonly Dictionary<(WeightFormat Norm, bool Brain), NormRounder> _normRounders = [];
    private Summer? _sum;

    private delegate void Rounder(AcceleratorStream stream, KernelConfig config, ArrayView<ushort> source, ArrayView<ushort> planes, ArrayView<float> scales, int quads, int firstRow, int planeRows, int count);

    private delegate void NormRounder(AcceleratorStream stream, KernelConfig config, ArrayView<float> x, ArrayView<ushort> weight, ArrayView<ushort> planes, ArrayView<float> scales, int quads, float epsilon, int count);

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, ArrayView<ushort> weight, ArrayView<ushort> x, ArrayView<float> y, ArrayView<ushort> bias,
        ArrayView<float> xScales, ArrayView<float> wScales, RowList list, TensorProductShape shape);

    private delegate void Summer(AcceleratorStream stream, KernelConfig config, ArrayView<float> partials, ArrayView<float> y, ArrayView<ushort> bias, MatMulShape shape, int splits, int stride);

    /// <summary>The tiles to choose from.</summary>
    public IReadOnlyList<ProductTile> Tiles { get; set; } = [.. ProductTile.All.Where(tile => 32 * tile.Warps <= device.MaxGroupSize)];

    /// <summary>Splits of the inputs to use whatever seems best; 0 to choose.</summary>
    public int FixedSplits { get; set; }

    /// <summary>Whether there is a kernel for products of <paramref name="rows"/> rows with <paramref name="weight"/>: its rows must be whole units of 16 bytes, and y's whole pairs.</summary>
    public static bool Serves(WeightMatrix weight, int rows) => rows >= MinRows && weight.Format != WeightFormat.F32 && weight.Columns % 8 == 0 && weight.Rows % 2 == 0;

    /// <summary>Whether there are kernels for products of the same activations with all of <paramref name="weights"/>.</summary>
    public static bool Serves(int rows, params ReadOnlySpan<WeightMatrix> weights)
    {
        foreach (var weight in weights)
            if (!Serves(weight, rows) || IsBrain(weight.Format) != IsBrain(weights[0].Format)) return false;
        return true;
    }

    /// <summary>Activations <c>[row, column]</c> as an operand for weights of <paramref name="format"/>; valid until the next call.</summary>
    public RowPlanes Round(DeviceSpan x, int rows, int columns, WeightFormat format, AcceleratorStream stream)
    {
        var planes = Operand(rows, columns, format);
        Round(typeof(F32Weights), planes.Brain, GpuBuffer.View<float>(x, (long)rows * columns).Cast<ushort>(), planes.Data, planes.Scales, columns / 4, 0, rows, planes.Planes, stream);
        return planes;
    }

    /// <summary>As <see cref="Round(DeviceSpan, int, int, WeightFormat, AcceleratorStream)"/> of normalised activations.</summary>
    public RowPlanes Round(NormedInput input, int rows, int columns, WeightFormat format, AcceleratorStream stream)
    {
        if (Array.IndexOf(WeightCodecs.Plain, input.Norm.Format) < 0) throw new ArgumentException($"{input.Norm.Name}: a norm's weight is {input.Norm.Format}; F32, F16 or BF16 is needed", nameof(input));
        var planes = Operand(rows, columns, format);
        if (!_normRounders.TryGetValue((input.Norm.Format, planes.Brain), out var round))
            _normRounders[(input.Norm.Format, planes.Brain)] = round = device.Kernels.Load<NormRounder>(NormPlanesKernel.Variant(WeightCodecs.Of(input.Norm.Format), Element(planes.Brain)));
        round(stream, new KernelConfig(rows, device.GroupSize(NormPlanesKernel.GroupSize)), GpuBuffer.View<float>(input.X, (long)rows * columns), GpuBuffer.View<ushort>(input.Norm.Data),
            planes.Data, planes.Scales, columns / 4, input.Epsilon, planes.Planes);
        return planes;
    }

    /// <summary>y (+)= x · Wᵀ + bias.</summary>
    public void Run(WeightMatrix weight, RowPlanes x, DeviceSpan y, WeightMatrix? bias, bool accumulate, AcceleratorStream stream)
    {
        // an argument that is never read still has to be valid memory
        var list = new RowList { Rows = x.Data.Cast<int>(), Weights = x.Data.Cast<float>(), Counts = x.Data.Cast<int>() };
        Run(typeof(AllRows), weight, x, x.Rows, y, bias, accumulate, list, stream);
    }

    private void Run(Type map, WeightMatrix weight, RowPlanes x, int rows, DeviceSpan y, WeightMatrix? bias, bool accumulate, RowList list, AcceleratorStream stream)
    {
        if (bias is not null && Array.IndexOf(WeightCodecs.Plain, bias.Format) < 0)
            throw new ArgumentException($"{bias.Name}: a bias is {bias.Format}; F32, F16 or BF16 is needed", nameof(bias));
        bool stored = weight.Format is WeightFormat.F16 or WeightFormat.BF16;
        int panelRows = stored ? weight.Rows : PanelRows(weight.Rows, weight.Columns, precision);
        for (int first = 0; first < weight.Rows; first += panelRows)
        {
            int outputs = Math.Min(panelRows, weight.Rows - first);
            var w = stored
                ? new RowPlanes(IsBrain(weight.Format), GpuBuffer.View<ushort>(weight.Data), x.Scales, false, 1, outputs)
                : Decode(weight, first, outputs, PanelPlanes(precision), stream);
            var matrix = new MatMulShape { Quads = weight.Columns / 4, Outputs = outputs, Rows = rows, BiasFormat = bias is null ? 0 : 1 + (int)bias.Format, Accumulate = accumulate ? 1 : 0 };
            var biases = bias is null ? w.Data : GpuBuffer.View<ushort>(new DeviceSpan(bias.Data, bias.Format.ByteLength(first)));
            Multiply(map, w, x, ((DeviceSpan)y).SkipFloats(first), biases, matrix, weight.Rows, list, stream);
        }
    }

    private void Multiply(Type map, RowPlanes w, RowPlanes x, DeviceSpan y, ArrayView<ushort> bias, MatMulShape matrix, int yStride, RowList list, AcceleratorStream stream)
    {
        int rows = matrix.Rows, outputs = matrix.Outputs, slices = (4 * matrix.Quads + TensorProductKernel.Depth - 1) / TensorProductKernel.Depth, passes = x.Planes + w.Planes - 1;
        // rows of an expert are only known on the device: their sums stay in one place
        int maxSplits = map == typeof(AllRows) ? (int)Math.Clamp(SplitBytes / ((long)rows * outputs * sizeof(float)), 1, MaxSplits) : 1;
        var (tile, splits) = ProductTile.Choose(Tiles, rows, outputs, slices * passes, device.Multiprocessors, maxSplits);
        if (FixedSplits > 0) splits = Math.Min(FixedSplits, maxSplits);
        var targets = GpuBuffer.View<float>(y, (long)(rows - 1) * yStride + outputs);
        var shape = new TensorProductShape
        {
            Matrix = matrix,
            Units = matrix.Quads / 2,
            Slices = slices,
            Passes = passes,
            XPlanes = x.Planes,
            XRows = x.Rows,
            XScaled = x.Scaled ? 1 : 0,
            WScaled = w.Scaled ? 1 : 0,
            RowTiles = LaunchShapes.Groups(rows, tile.Rows),
            OutputTiles = LaunchShapes.Groups(outputs, tile.Outputs),
            YStride = yStride,
        };
        var sums = targets;
        if (splits > 1)
        {
            sums = GpuBuffer.View<float>(_splits.Reserve((long)splits * rows * outputs * sizeof(float)));
            shape.YStride = outputs;
            shape.Matrix.BiasFormat = 0;
            shape.Matrix.Accumulate = 0;
        }
        if (!_launchers.TryGetValue((w.Brain, tile.Type, map), out var launch))
        {
            var variant = TensorProductKernel.Variant(Element(w.Brain), tile, map);
            _launchers[(w.Brain, tile.Type, map)] = launch = device.Kernels.Load<Launcher>(variant);
        }
        var config = new KernelConfig(new Index3D(LaunchShapes.Groups((long)shape.RowTiles * shape.OutputTiles, 1), splits, 1), new Index3D(32 * tile.Warps, 1, 1), SharedMemoryConfig.RequestDynamic<byte>(tile.SharedBytes));
        launch(stream, config, w.Data, x.Data, sums, bias, x.Scales, w.Scales, list, shape);
        if (splits == 1) return;
        _sum ??= device.Kernels.Load<Summer>(SplitSumKernel.Variant);
        int threads = device.GroupSize(SplitSumKernel.GroupSize);
        _sum(stream, new KernelConfig(LaunchShapes.Groups((long)rows * outputs / 2, threads), threads), sums, targets, bias, matrix, splits, yStride);
    }

    /// <summary>What products of up to <paramref name="rows"/> rows with the matrices of a decoder need beside their operands.</summary>
    public long WorkingBytes(LlamaConfig config, IReadOnlyCollection<WeightFormat> formats, int rows) => Sizes(config, formats, rows, precision).Sum();

    /// <summary>Allocates <see cref="WorkingBytes"/>.</summary>
    public void Reserve(LlamaConfig config, IReadOnlyCollection<WeightFormat> formats, int rows)
    {
        GpuScratch[] buffers = [_planes, _scales, _panel, _panelScales, _splits];
        long[] sizes = Sizes(config, formats, rows, precision);
        for (int i = 0; i < buffers.Length; i++)
            if (sizes[i] > 0) buffers[i].Reserve(sizes[i]);
    }

    // Bytes of planes, scales, panel, panel scales, splits.
    private static long[] Sizes(LlamaConfig config, IReadOnlyCollection<WeightFormat> formats, int rows, ProductPrecision precision)
    {
        var matrices = WeightPlan.Of(config).Where(weight => weight.Shape.Length == 2).Select(weight => (Rows: (int)weight.Shape[0], Columns: (int)weight.Shape[1])).Distinct().ToList();
        var served = formats.Where(format => format != WeightFormat.F32).ToList();
        if (served.Count == 0 || rows < MinRows) return new long[5];
        var quantised = served.Exists(format => format.BlockElements() > 1) ? matrices : [];
        return
        [
            (long)rows * matrices.Max(m => m.Columns) * served.Max(format => Planes(format, precision)) * sizeof(ushort),
            (long)rows * sizeof(float),
            quantised.Select(m => (long)Math.Min(m.Rows, PanelRows(m.Rows, m.Columns, precision)) * m.Columns * PanelPlanes(precision) * sizeof(ushort)).DefaultIfEmpty().Max(),
            quantised.Select(m => (long)Math.Min(m.Rows, PanelRows(m.Rows, m.Columns, precision)) * sizeof(float)).DefaultIfEmpty().Max(),
            Math.Min(SplitBytes, MaxSplits * (long)rows * matrices.Max(m => m.Rows) * sizeof(float)),
        ];
    }

    // 24 bits are three bfloat16, or two halves less two bits.
    private static int Planes(WeightFormat format, ProductPrecision precision) => precision == ProductPrecision.Half ? 1 : IsBrain(format) ? 3 : 2;

    private static int PanelPlanes(ProductPrecision precision) => precision == ProductPrecision.Half ? 1 : 2;

    // Rows of a quantised matrix that are decoded at a time.
    private static int PanelRows(int rows, int columns, ProductPrecision precision) =>
        (int)Math.Clamp(PanelBytes / ((long)columns * PanelPlanes(precision) * sizeof(ushort)) / PanelUnit * PanelUnit, PanelUnit, Math.Max(PanelUnit, rows));

    private static bool IsBrain(WeightFormat format) => format == WeightFormat.BF16;

    private static Type Element(bool brain) => brain ? typeof(TensorBF16) : typeof(TensorF16);

    // Room for activations.
    private RowPlanes Operand(int rows, int columns, WeightFormat format)
    {
        bool brain = IsBrain(format);
        int planes = Planes(format, precision);
        long numbers = (long)rows * columns * planes;
        var scales = GpuBuffer.View<float>(_scales.Reserve((long)rows * sizeof(float)), rows);
        return new RowPlanes(brain, GpuBuffer.View<ushort>(_planes.Reserve(numbers * sizeof(ushort)), numbers), scales, !brain, planes, rows);
    }

    // Rows first .. first + rows - 1 of a quantised matrix.
    private RowPlanes Decode(WeightMatrix weight, int first, int rows, int planes, AcceleratorStream stream)
    {
        long numbers = (long)rows * weight.Columns * planes;
        var data = GpuBuffer.View<ushort>(_panel.Reserve(numbers * sizeof(ushort)), numbers);
        var scales = GpuBuffer.View<float>(_panelScales.Reserve(rows * sizeof(float)), rows);
        Round(WeightCodecs.Of(weight.Format), brain: false, GpuBuffer.View<ushort>(weight.Data), data, scales, weight.Columns / 4, first, rows, planes, stream);
        return new RowPlanes(false, data, scales, true, planes, rows);
    }

    private void Round(Type codec, bool brain, ArrayView<ushort> source, ArrayView<ushort> planes, ArrayView<float> scales, int quads, int first, int rows, int count, AcceleratorStream stream)
    {
        if (!_rounders.TryGetValue((codec, brain), out var round))
            _rounders[(codec, brain)] = round = device.Kernels.Load<Rounder>(RowPlanesKernel.Variant(codec, Element(brain)));
        round(stream, new KernelConfig(rows, device.GroupSize(RowPlanesKernel.GroupSize)), source, planes, scales, quads, first, rows, count);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _planes.Dispose();
        _scales.Dispose();
        _panel.Dispose();
        _panelScales.Dispose();
        _splits.Dispose();
    }
}
