using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>Rows of a matrix, activations or stored weights, as an operand of <see cref="TensorProductKernel"/>: one group a row.</summary>
internal static class RowPlanesKernel
{
    public const int GroupSize = 128;

    public static KernelVariant Variant(Type codec, Type element) => KernelVariant.Of(typeof(RowPlanesKernel), nameof(Run), GroupSize, codec, element) with { CudaOnly = true };

    /// <summary>Activations for either element type, and what weights are decoded to.</summary>
    public static IEnumerable<KernelVariant> Variants =>
        WeightCodecs.All.Where(format => format.BlockElements() > 1).Select(format => Variant(WeightCodecs.Of(format), typeof(TensorF16)))
            .Prepend(Variant(typeof(F32Weights), typeof(TensorBF16)))
            .Prepend(Variant(typeof(F32Weights), typeof(TensorF16)));

    /// <summary>
    /// Grid (rows): row r of <paramref name="planes"/> <c>[plane, planeRows, number]</c> is row <paramref name="firstRow"/> + r of <paramref name="source"/>. With
    /// <paramref name="expert"/> not negative only as many rows as <paramref name="counts"/> has for it.
    /// </summary>
    public static void Run<TCodec, TElement>(ArrayView<ushort> source, ArrayView<ushort> planes, ArrayView<float> scales, ArrayView<int> counts, int expert, int quads, int firstRow, int planeRows, int count)
        where TCodec : struct, IWeightCodec
        where TElement : struct, ITensorElement
    {
        var shared = SharedMemory.Allocate<float>(GroupSize);
        int row = Grid.IdxX, rows = planeRows;
        if (expert >= 0) rows = counts[expert];
        if (row < rows) Round<TCodec, TElement>(shared, source, planes, scales, row, quads, firstRow, planeRows, count);
    }

    private static void Round<TCodec, TElement>(ArrayView<float> shared, ArrayView<ushort> source, ArrayView<ushort> planes, ArrayView<float> scales, int row, int quads, int firstRow, int planeRows, int count)
        where TCodec : struct, IWeightCodec
        where TElement : struct, ITensorElement
    {
        long from = (long)(firstRow + row) * quads;
        float max = 0f;
        if (TElement.NeedsScale)
        {
            for (int quad = Group.IdxX; quad < quads; quad += Group.DimX) max = IntrinsicMath.Max(max, PlaneRounding.Largest(TCodec.Quad(source, from + quad)));
            max = PlaneRounding.GroupMax(shared, max);
            if (Group.IdxX == 0) scales[row] = PlaneRounding.Inverse(max);
        }
        float scale = PlaneRounding.Scale<TElement>(max);
        for (int quad = Group.IdxX; quad < quads; quad += Group.DimX)
        {
            var v = TCodec.Quad(source, from + quad);
            v.X *= scale;
            v.Y *= scale;
            v.Z *= scale;
            v.W *= scale;
            PlaneRounding.Write<TElement>(planes, (long)row * quads + quad, (long)planeRows * quads, count, v);
        }
    }
}
