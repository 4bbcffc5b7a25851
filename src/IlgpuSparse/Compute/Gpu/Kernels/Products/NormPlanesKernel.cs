using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>Rows of x / sqrt(mean(x²) + ε) · weight as an operand of <see cref="TensorProductKernel"/>: one group a row.</summary>
internal static class NormPlanesKernel
{
    public const int GroupSize = 128;

    public static KernelVariant Variant(Type codec, Type element) => KernelVariant.Of(typeof(NormPlanesKernel), nameof(Run), GroupSize, codec, element) with { CudaOnly = true };

    public static IEnumerable<KernelVariant> Variants =>
        from codec in WeightCodecs.Plain.Select(WeightCodecs.Of)
        from element in TensorElements.All
        select Variant(codec, element);

    /// <summary>Grid (rows); <paramref name="planes"/> is <c>[plane, row, number]</c>.</summary>
    public static void Run<TCodec, TElement>(ArrayView<float> x, ArrayView<ushort> weight, ArrayView<ushort> planes, ArrayView<float> scales, int quads, float epsilon, int count)
        where TCodec : struct, IWeightCodec
        where TElement : struct, ITensorElement
    {
        var shared = SharedMemory.Allocate<float>(GroupSize);
        var inputs = x.Cast<F4>();
        long row = (long)Grid.IdxX * quads;
        float sum = 0f, max = 0f;
        for (int quad = Group.IdxX; quad < quads; quad += Group.DimX)
        {
            var v = inputs[row + quad];
            sum += v.X * v.X + v.Y * v.Y + (v.Z * v.Z + v.W * v.W);
            if (TElement.NeedsScale) max = IntrinsicMath.Max(max, PlaneRounding.Largest(Weighted(v, TCodec.Quad(weight, quad), 1f)));
        }
        shared[Group.IdxX] = sum;
        Group.Barrier();
        GroupSums.Fold(shared, 1, GroupSize);
        float factor = Ptx.Rsqrt(GroupSums.Total(shared, 0) / (quads * 4f) + epsilon);
        if (TElement.NeedsScale)
        {
            Group.Barrier(); // the sums have been read
            max = factor * PlaneRounding.GroupMax(shared, max);
            if (Group.IdxX == 0) scales[Grid.IdxX] = PlaneRounding.Inverse(max);
        }
        factor *= PlaneRounding.Scale<TElement>(max);
        for (int quad = Group.IdxX; quad < quads; quad += Group.DimX)
            PlaneRounding.Write<TElement>(planes, row + quad, (long)Grid.DimX * quads, count, Weighted(inputs[row + quad], TCodec.Quad(weight, quad), factor));
    }

    private static F4 Weighted(F4 v, F4 w, float factor)
    {
        v.X *= factor * w.X;
        v.Y *= factor * w.Y;
        v.Z *= factor * w.Z;
        v.W *= factor * w.W;
        return v;
    }
}
