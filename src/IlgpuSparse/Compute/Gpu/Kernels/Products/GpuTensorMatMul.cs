using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>
/// Products of many rows on tensor cores. Activations are rounded to planes of 16 bits once (<see cref="GpuRowPlanes"/>); 16-bit weights are multiplied as they are stored, quantised ones
/// are decoded a panel of rows at a time.
/// </summary>
internal sealed class GpuTensorMatMul(GpuDevice device, MemoryLedger ledger, ProductPrecision precision) : IDisposable
{
    /// <summary>Fewest rows that are worth it.</summary>
    public const int MinRows = 9;

    /// <summary>Most room for the sums of splits.</summary>
    private const long SplitBytes = 32 << 20;

    private const int MaxSplits = 16;

    private readonly GpuScratch _splits = new(device, ledger);
    private readonly Dictionary<(bool Brain, Type Tile, Type Map, Type Outputs), Launcher> _launchers = [];
    private Summer? _sum;

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, ProductWeights first, ProductWeights second, ArrayView<ushort> x, ArrayView<float> xScales, ArrayView<float> y, RowList list, TensorProductShape shape);

    private delegate void Summer(AcceleratorStream stream, KernelConfig config, ArrayView<float> partials, ArrayView<float> y, ArrayView<ushort> bias, MatMulShape shape, int splits, int stride);

    /// <summary>The operands.</summary>
    public GpuRowPlanes Operands { get; } = new(device, ledger, precision);

    /// <summary>The tiles to choose from.</summary>
    public IReadOnlyList<ProductTile> Tiles { get; set; } = ProductTile.On(device);

    /// <summary>Splits of the inputs to use whatever seems best; 0 to choose.</summary>
    public int FixedSplits { get; set; }

    /// <summary>
    /// Whether there are kernels for products of the same <paramref name="rows"/> activation rows with all of <paramref name="weights"/>: their rows must be whole units of 16 bytes, and those
    /// of y whole pairs.
    /// </summary>
    public static bool Serves(int rows, params ReadOnlySpan<WeightMatrix> weights)
    {
        foreach (var weight in weights)
        {
            if (rows < MinRows || weight.Format == WeightFormat.F32 || weight.Columns % 8 != 0 || weight.Rows % 2 != 0) return false;
            if (GpuRowPlanes.IsBrain(weight.Format) != GpuRowPlanes.IsBrain(weights[0].Format)) return false;
        }
        return true;
    }

    /// <summary>
    /// Whether it is faster than <see cref="Linear.GpuLinear"/>, which multiplies numbers of more than 16 bits, also where that serves: where weights are multiplied as they are stored and activations are rounded.
    /// </summary>
    public bool Prefers(int rows, params ReadOnlySpan<WeightMatrix> weights)
    {
        if (precision != ProductPrecision.Half || !Serves(rows, weights)) return false;
        foreach (var weight in weights)
        {
            if (!GpuRowPlanes.IsStored(weight.Format)) return false;
        }
        return true;
    }

    /// <summary>Whether <see cref="RunGated(GateUpWeights, RowPlanes, DeviceSpan, AcceleratorStream)"/> can be used.</summary>
    public static bool ServesGated(int rows, WeightMatrix gate, WeightMatrix up) => gate.Format == up.Format && Serves(rows, gate, up);

    /// <summary>y (+)= x · Wᵀ + bias.</summary>
    public void Run(WeightMatrix weight, RowPlanes x, DeviceSpan y, WeightMatrix? bias, bool accumulate, AcceleratorStream stream) =>
        Run(typeof(AllRows), weight, x, y, bias, accumulate, NoList(x), stream);

    /// <summary>y = silu(x · gateᵀ + bias) · (x · upᵀ + bias).</summary>
    public void RunGated(GateUpWeights weights, RowPlanes x, DeviceSpan y, AcceleratorStream stream) => RunGated(typeof(AllRows), weights, x, y, NoList(x), stream);

    /// <summary>As <see cref="RunGated(GateUpWeights, RowPlanes, DeviceSpan, AcceleratorStream)"/> of the rows of <paramref name="x"/> that are routed to <c>list.Expert</c>, one after the other in y.</summary>
    public void RunExpertGated(GateUpWeights weights, RowPlanes x, DeviceSpan y, RowList list, AcceleratorStream stream) => RunGated(typeof(GatherRows), weights, x, y, list, stream);

    /// <summary>Adds the products of consecutive rows of <paramref name="x"/>, times the router's weights, to the rows of y that are routed to <c>list.Expert</c>.</summary>
    public void RunExpert(WeightMatrix weight, RowPlanes x, DeviceSpan y, RowList list, AcceleratorStream stream) =>
        Run(typeof(ScatterRows), weight, x, y, null, accumulate: true, list, stream);

    /// <summary>What products of up to <paramref name="rows"/> rows with the matrices of a decoder need beside their operands.</summary>
    public long WorkingBytes(LlamaConfig config, IReadOnlyCollection<WeightFormat> formats, int rows)
    {
        WeightFormat[] served = Served(formats, rows);
        return served.Length == 0 ? 0 : Operands.Sizes(config, served, rows).Sum() + SplitRoom(config, rows);
    }

    /// <summary>Allocates <see cref="WorkingBytes"/>.</summary>
    public void Reserve(LlamaConfig config, IReadOnlyCollection<WeightFormat> formats, int rows)
    {
        WeightFormat[] served = Served(formats, rows);
        if (served.Length == 0) return;
        Operands.Reserve(Operands.Sizes(config, served, rows));
        _splits.Reserve(SplitRoom(config, rows));
    }

    private static WeightFormat[] Served(IReadOnlyCollection<WeightFormat> formats, int rows) => rows < MinRows ? [] : [.. formats.Where(format => format != WeightFormat.F32)];

    private static long SplitRoom(LlamaConfig config, int rows) => Math.Min(SplitBytes, MaxSplits * (long)rows * WeightPlan.Of(config).Where(w => w.Shape.Length == 2).Max(w => w.Shape[0]) * sizeof(float));

    // An argument that is never read still has to be valid memory.
    private static RowList NoList(RowPlanes x) => new() { Rows = x.Data.Cast<int>(), Weights = x.Data.Cast<float>(), Counts = x.Data.Cast<int>() };

    private void Run(Type map, WeightMatrix weight, RowPlanes x, DeviceSpan y, WeightMatrix? bias, bool accumulate, RowList list, AcceleratorStream stream)
    {
        int panel = GpuRowPlanes.IsStored(weight.Format) ? weight.Rows : Operands.PanelRows(weight.Rows, weight.Columns, 1);
        for (int first = 0; first < weight.Rows; first += panel)
        {
            int outputs = Math.Min(panel, weight.Rows - first);
            var planes = Operands.Weights(weight, first, outputs, 0, 1, stream);
            var operand = Operand(planes, bias, first);
            var matrix = new MatMulShape { Quads = weight.Columns / 4, Outputs = outputs, Rows = x.Rows, BiasFormat = operand.BiasFormat, Accumulate = accumulate ? 1 : 0 };
            Launch(map, typeof(PlainOutputs), operand, operand, planes, x, y.SkipFloats(first), matrix, weight.Rows, list, stream);
        }
    }

    private void RunGated(Type map, GateUpWeights weights, RowPlanes x, DeviceSpan y, RowList list, AcceleratorStream stream)
    {
        var (gate, up, gateBias, upBias) = weights;
        if (gate.Format != up.Format) throw new ArgumentException($"{gate.Name} is {gate.Format} and {up.Name} {up.Format}; one format is needed", nameof(weights));
        int panel = GpuRowPlanes.IsStored(gate.Format) ? gate.Rows : Operands.PanelRows(gate.Rows, gate.Columns, 2);
        for (int first = 0; first < gate.Rows; first += panel)
        {
            int outputs = Math.Min(panel, gate.Rows - first);
            RowPlanes gatePlanes = Panel(gate, 0), upPlanes = Panel(up, 1);
            var matrix = new MatMulShape { Quads = gate.Columns / 4, Outputs = outputs, Rows = x.Rows };
            Launch(map, typeof(GatedOutputs), Operand(gatePlanes, gateBias, first), Operand(upPlanes, upBias, first), gatePlanes, x, y.SkipFloats(first), matrix, gate.Rows, list, stream);

            RowPlanes Panel(WeightMatrix weight, int place) => Operands.Weights(weight, first, outputs, place, 2, stream);
        }
    }

    private static ProductWeights Operand(RowPlanes planes, WeightMatrix? bias, int first)
    {
        if (bias is not null && Array.IndexOf(WeightCodecs.Plain, bias.Format) < 0)
            throw new ArgumentException($"{bias.Name}: a bias is {bias.Format}; F32, F16 or BF16 is needed", nameof(bias));
        return new ProductWeights
        {
            Data = planes.Data,
            Scales = planes.Scales,
            Scaled = planes.Scaled ? 1 : 0,
            Bias = bias is null ? planes.Data : GpuBuffer.View<ushort>(new DeviceSpan(bias.Data, bias.Format.ByteLength(first))),
            BiasFormat = bias is null ? 0 : 1 + (int)bias.Format,
        };
    }

    private void Launch(Type map, Type form, ProductWeights first, ProductWeights second, RowPlanes w, RowPlanes x, DeviceSpan y, MatMulShape matrix, int yStride, RowList list, AcceleratorStream stream)
    {
        int rows = matrix.Rows, outputs = matrix.Outputs, slices = (4 * matrix.Quads + TensorProductKernel.Depth - 1) / TensorProductKernel.Depth, passes = x.Planes + w.Planes - 1;
        bool gated = form == typeof(GatedOutputs);
        // rows of an expert are only known on the device, and what meets another product has to be whole: their sums stay in one place
        int maxSplits = map == typeof(AllRows) && !gated ? (int)Math.Clamp(SplitBytes / ((long)rows * outputs * sizeof(float)), 1, MaxSplits) : 1;
        var (tile, splits) = ProductTile.Choose(Tiles, rows, gated ? 2 * outputs : outputs, slices * passes, device.Multiprocessors, maxSplits);
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
            RowTiles = LaunchShapes.Groups(rows, tile.Rows),
            OutputTiles = LaunchShapes.Groups(outputs, gated ? tile.Outputs / 2 : tile.Outputs),
            YStride = yStride,
        };
        var sums = targets;
        var bias = first.Bias;
        if (splits > 1)
        {
            sums = GpuBuffer.View<float>(_splits.Reserve((long)splits * rows * outputs * sizeof(float)));
            shape.YStride = outputs;
            shape.Matrix.Accumulate = 0;
            first.BiasFormat = 0;
        }
        if (!_launchers.TryGetValue((w.Brain, tile.Type, map, form), out var launch))
            _launchers[(w.Brain, tile.Type, map, form)] = launch = device.Kernels.Load<Launcher>(tile.Variant(GpuRowPlanes.Element(w.Brain), map, form));
        var config = new KernelConfig(new Index3D(LaunchShapes.Groups((long)shape.RowTiles * shape.OutputTiles, 1), splits, 1), new Index3D(32 * tile.Warps, 1, 1), SharedMemoryConfig.RequestDynamic<byte>(tile.SharedBytes));
        launch(stream, config, first, second, x.Data, x.Scales, sums, list, shape);
        if (splits == 1) return;
        _sum ??= device.Kernels.Load<Summer>(SplitSumKernel.Variant);
        int threads = device.GroupSize(SplitSumKernel.GroupSize);
        _sum(stream, new KernelConfig(LaunchShapes.Groups((long)rows * outputs / 2, threads), threads), sums, targets, bias, matrix, splits, yStride);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Operands.Dispose();
        _splits.Dispose();
    }
}
