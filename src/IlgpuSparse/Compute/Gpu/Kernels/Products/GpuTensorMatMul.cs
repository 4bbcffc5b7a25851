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
    public const int MinRows = 32;

    /// <summary>Room for the decoded rows of a quantised matrix: what stays in the L2 cache of a large GPU.</summary>
    private const long PanelBytes = 32 << 20;

    /// <summary>Most room for the sums of splits.</summary>
    private const long SplitBytes = 32 << 20;

    /// <summary>Panels are whole tiles.</summary>
    private const int PanelRows = 256;

    private readonly GpuScratch _planes = new(device, ledger), _scales = new(device, ledger), _panel = new(device, ledger), _panelScales = new(device, ledger), _splits = new(device, ledger);
    private readonly Dictionary<(Type Codec, bool Brain), Rounder> _rounders = [];
    private readonly Dictionary<(bool Brain, Type Tile, Type Map), Launcher> _launchers = [];
    private Summer? _sum;

    private delegate void Rounder(AcceleratorStream stream, KernelConfig config, ArrayView<ushort> source, ArrayView<ushort> planes, ArrayView<float> scales, int quads, int firstRow, int planeRows, int count);

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, ArrayView<ushort> weight, ArrayView<ushort> x, ArrayView<float> y, ArrayView<ushort> bias,
        ArrayView<float> xScales, ArrayView<float> wScales, RowList list, TensorProductShape shape);

    private delegate void Summer(AcceleratorStream stream, KernelConfig config, ArrayView<float> partials, ArrayView<float> y, ArrayView<ushort> bias, MatMulShape shape, int splits, int stride);

    /// <summary>The tiles to choose from.</summary>
    public IReadOnlyList<ProductTile> Tiles { get; set; } = [.. ProductTile.All.Where(tile => 32 * tile.Warps <= device.MaxGroupSize)];

    /// <summary>Splits of the inputs to use whatever seems best; 0 to choose.</summary>
    public int FixedSplits { get; set; }

    /// <summary>Whether there is a kernel for products with <paramref name="weight"/>: its rows must be whole units of 16 bytes, and y's whole pairs.</summary>
    public static bool Serves(WeightMatrix weight) => weight.Format != WeightFormat.F32 && weight.Columns % 8 == 0 && weight.Rows % 2 == 0;

    /// <summary>Activations <c>[row, column]</c> as an operand for weights of <paramref name="format"/>; valid until the next call.</summary>
    public RowPlanes Round(DeviceSpan x, int rows, int columns, WeightFormat format, AcceleratorStream stream)
    {
        bool brain = format == WeightFormat.BF16;
        // 24 bits are three bfloat16, or two halves less two bits
        int planes = precision == ProductPrecision.Half ? 1 : brain ? 3 : 2;
        long numbers = (long)rows * columns;
        var data = GpuBuffer.View<ushort>(_planes.Reserve(numbers * planes * sizeof(ushort)), numbers * planes);
        var scales = GpuBuffer.View<float>(_scales.Reserve(rows * sizeof(float)), rows);
        Round(typeof(F32Weights), brain, GpuBuffer.View<float>(x, numbers).Cast<ushort>(), data, scales, columns / 4, 0, rows, planes, stream);
        return new RowPlanes(brain, data, brain ? null : scales, planes, rows);
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
        bool stored = weight.Format is WeightFormat.F16 or WeightFormat.BF16;
        int planes = stored || precision == ProductPrecision.Half ? 1 : 2;
        int panelRows = stored ? weight.Rows : (int)Math.Clamp(PanelBytes / ((long)weight.Columns * planes * sizeof(ushort)) / PanelRows * PanelRows, PanelRows, Math.Max(PanelRows, weight.Rows));
        for (int first = 0; first < weight.Rows; first += panelRows)
        {
            int outputs = Math.Min(panelRows, weight.Rows - first);
            var w = stored
                ? new RowPlanes(weight.Format == WeightFormat.BF16, GpuBuffer.View<ushort>(weight.Data), null, 1, outputs)
                : Decode(weight, first, outputs, planes, stream);
            var matrix = new MatMulShape { Quads = weight.Columns / 4, Outputs = outputs, Rows = rows, BiasFormat = bias is null ? 0 : 1 + (int)bias.Format, Accumulate = accumulate ? 1 : 0 };
            var biases = bias is null ? w.Data : GpuBuffer.View<ushort>(new DeviceSpan(bias.Data, bias.Format.ByteLength(first)));
            Multiply(map, w, x, ((DeviceSpan)y).SkipFloats(first), biases, matrix, weight.Rows, list, stream);
        }
    }

    private void Multiply(Type map, RowPlanes w, RowPlanes x, DeviceSpan y, ArrayView<ushort> bias, MatMulShape matrix, int yStride, RowList list, AcceleratorStream stream)
    {
        int rows = matrix.Rows, outputs = matrix.Outputs, slices = (4 * matrix.Quads + TensorProductKernel.Depth - 1) / TensorProductKernel.Depth, passes = x.Planes + w.Planes - 1;
        // rows of an expert are only known on the device: their sums stay in one place
        int maxSplits = map == typeof(AllRows) ? (int)Math.Clamp(SplitBytes / ((long)rows * outputs * sizeof(float)), 1, 16) : 1;
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
            XScaled = x.Scales is null ? 0 : 1,
            WScaled = w.Scales is null ? 0 : 1,
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
            var variant = TensorProductKernel.Variant(w.Brain ? typeof(TensorBF16) : typeof(TensorF16), tile, map);
            _launchers[(w.Brain, tile.Type, map)] = launch = device.Kernels.Load<Launcher>(variant);
        }
        var config = new KernelConfig(new Index3D(LaunchShapes.Groups((long)shape.RowTiles * shape.OutputTiles, 1), splits, 1), new Index3D(32 * tile.Warps, 1, 1), SharedMemoryConfig.RequestDynamic<byte>(tile.SharedBytes));
        launch(stream, config, w.Data, x.Data, sums, bias, x.Scales ?? targets, w.Scales ?? targets, list, shape);
        if (splits == 1) return;
        _sum ??= device.Kernels.Load<Summer>(SplitSumKernel.Variant);
        int threads = device.GroupSize(SplitSumKernel.GroupSize);
        _sum(stream, new KernelConfig(LaunchShapes.Groups((long)rows * outputs / 2, threads), threads), sums, targets, bias, matrix, splits, yStride);
    }

    // Rows first .. first + rows - 1 of a quantised matrix.
    private RowPlanes Decode(WeightMatrix weight, int first, int rows, int planes, AcceleratorStream stream)
    {
        long numbers = (long)rows * weight.Columns * planes;
        var data = GpuBuffer.View<ushort>(_panel.Reserve(numbers * sizeof(ushort)), numbers);
        var scales = GpuBuffer.View<float>(_panelScales.Reserve(rows * sizeof(float)), rows);
        Round(WeightCodecs.Of(weight.Format), brain: false, GpuBuffer.View<ushort>(weight.Data), data, scales, weight.Columns / 4, first, rows, planes, stream);
        return new RowPlanes(false, data, scales, planes, rows);
    }

    private void Round(Type codec, bool brain, ArrayView<ushort> source, ArrayView<ushort> planes, ArrayView<float> scales, int quads, int first, int rows, int count, AcceleratorStream stream)
    {
        if (!_rounders.TryGetValue((codec, brain), out var round))
            _rounders[(codec, brain)] = round = device.Kernels.Load<Rounder>(RowPlanesKernel.Variant(codec, brain ? typeof(TensorBF16) : typeof(TensorF16)));
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
