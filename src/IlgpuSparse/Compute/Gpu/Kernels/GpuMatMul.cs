using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Products;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>
/// Products with a weight matrix: <see cref="MatVecKernel"/> for a few rows; for many <paramref name="tensor"/>, which is null without tensor cores, and <see cref="MatMulKernel"/> for what
/// that does not serve.
/// </summary>
internal sealed class GpuMatMul(GpuDevice device, GpuTensorMatMul? tensor = null)
{
    /// <summary>Most rows that are multiplied row by row.</summary>
    private const int FewRows = 8;

    private readonly Dictionary<(WeightFormat Format, Type Map, int Block), Launcher> _expertRows = [];
    private readonly Launcher?[,] _allRows = new Launcher?[WeightCodecs.All.Length, 5]; // one, two, four, eight rows; tiles

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, ArrayView<ushort> weight, ArrayView<float> x, ArrayView<float> y, ArrayView<ushort> bias, RowList list, MatMulShape shape);

    /// <summary>Products of many rows on tensor cores; null without.</summary>
    public GpuTensorMatMul? Tensor => tensor;

    /// <summary>y (+)= x · Wᵀ + bias.</summary>
    public void Run(WeightMatrix weight, DeviceSpan x, int rows, DeviceSpan y, WeightMatrix? bias, bool accumulate, AcceleratorStream stream)
    {
        if (bias is not null && Array.IndexOf(WeightCodecs.Plain, bias.Format) < 0)
            throw new ArgumentException($"{bias.Name}: a bias is {bias.Format}; F32, F16 or BF16 is needed", nameof(bias));
        if (rows == 0) return;
        if (tensor is not null && GpuTensorMatMul.Serves(rows, weight))
        {
            tensor.Run(weight, tensor.Operands.Round(x, rows, weight.Columns, weight.Format, stream), y, bias, accumulate, stream);
            return;
        }
        var shape = Shape(weight, rows, accumulate);
        if (bias is not null) shape.BiasFormat = 1 + (int)bias.Format;
        var inputs = GpuBuffer.View<float>(x, (long)rows * weight.Columns);
        var outputs = GpuBuffer.View<float>(y, (long)rows * weight.Rows);
        var data = GpuBuffer.View<ushort>(weight.Data);
        // arguments that this form never reads still have to be valid memory
        var list = new RowList { Rows = inputs.Cast<int>(), Weights = inputs, Counts = inputs.Cast<int>() };

        int block = rows > FewRows ? 4 : rows > 4 ? 3 : rows > 2 ? 2 : rows - 1;
        var launch = _allRows[(int)weight.Format, block] ??= device.Kernels.Load<Launcher>(AllRowsVariant(WeightCodecs.Of(weight.Format), block));
        launch(stream, Config(weight.Rows, rows, block), data, inputs, outputs, bias is null ? data : GpuBuffer.View<ushort>(bias.Data), list, shape);
    }

    /// <summary>
    /// A product over the rows routed to <c>list.Expert</c>. <typeparamref name="TMap"/> is <see cref="GatherRows"/> to read them from <paramref name="x"/>, or
    /// <see cref="ScatterRows"/> to add to them in <paramref name="y"/>. <paramref name="rows"/> bounds how many there are.
    /// </summary>
    public void RunExpert<TMap>(WeightMatrix weight, DeviceSpan x, int rows, DeviceSpan y, RowList list, bool accumulate, AcceleratorStream stream) where TMap : struct, IRowMap
    {
        int block = rows == 1 ? 0 : 4;
        if (!_expertRows.TryGetValue((weight.Format, typeof(TMap), block), out var launch))
        {
            var codec = WeightCodecs.Of(weight.Format);
            launch = device.Kernels.Load<Launcher>(block == 0 ? MatVecKernel.Variant(codec, typeof(OneRow), typeof(TMap)) : MatMulKernel.Variant(codec, typeof(TMap)));
            _expertRows[(weight.Format, typeof(TMap), block)] = launch;
        }
        var data = GpuBuffer.View<ushort>(weight.Data);
        launch(stream, Config(weight.Rows, rows, block), data, GpuBuffer.View<float>(x, (long)rows * weight.Columns), GpuBuffer.View<float>(y, (long)rows * weight.Rows), data, list,
            Shape(weight, rows, accumulate));
    }

    private static MatMulShape Shape(WeightMatrix weight, int rows, bool accumulate) => new()
    {
        Quads = weight.Columns / 4,
        Outputs = weight.Rows,
        Rows = rows,
        Accumulate = accumulate ? 1 : 0,
    };

    private KernelConfig Config(int outputs, int rows, int block) => block < 4
        ? new KernelConfig(new Index3D(outputs, LaunchShapes.Groups(rows, 1 << block), 1), new Index3D(device.GroupSize(MatVecKernel.GroupSize), 1, 1))
        : new KernelConfig(new Index3D(LaunchShapes.Groups(outputs, MatMulKernel.TileOutputs), LaunchShapes.Groups(rows, MatMulKernel.TileRows), 1), new Index3D(MatMulKernel.GroupSize, 1, 1));

    private static KernelVariant AllRowsVariant(Type codec, int block) => block switch
    {
        0 => MatVecKernel.Variant(codec, typeof(OneRow), typeof(AllRows)),
        1 => MatVecKernel.Variant(codec, typeof(TwoRows), typeof(AllRows)),
        2 => MatVecKernel.Variant(codec, typeof(FourRows), typeof(AllRows)),
        3 => MatVecKernel.Variant(codec, typeof(EightRows), typeof(AllRows)),
        _ => MatMulKernel.Variant(codec, typeof(AllRows)),
    };
}
