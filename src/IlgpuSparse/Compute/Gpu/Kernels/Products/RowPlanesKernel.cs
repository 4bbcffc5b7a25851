using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>
/// Rows of a matrix as operands of <see cref="TensorProductKernel"/>: planes of 16-bit numbers, each the rounded rest that the planes before leave. Half precision has eight binades less
/// than what it is made of, so a row is scaled by a power of two that puts its largest number between 2¹⁴ and 2¹⁵: nothing overflows, and what is lost lies 2²⁸ below the largest.
/// </summary>
internal static class RowPlanesKernel
{
    public const int GroupSize = 128;

    private const int Partials = 16;

    public static KernelVariant Variant(Type codec, Type element) => KernelVariant.Of(typeof(RowPlanesKernel), nameof(Run), GroupSize, codec, element) with { CudaOnly = true };

    /// <summary>Activations for either element type, and what weights are decoded to.</summary>
    public static IEnumerable<KernelVariant> Variants =>
        WeightCodecs.All.Where(format => format.BlockElements() > 1).Select(format => Variant(WeightCodecs.Of(format), typeof(TensorF16)))
            .Prepend(Variant(typeof(F32Weights), typeof(TensorBF16)))
            .Prepend(Variant(typeof(F32Weights), typeof(TensorF16)));

    /// <summary>Grid (rows): row r of <paramref name="planes"/> <c>[plane, planeRows, number]</c> is row <paramref name="firstRow"/> + r of <paramref name="source"/>.</summary>
    public static void Run<TCodec, TElement>(ArrayView<ushort> source, ArrayView<ushort> planes, ArrayView<float> scales, int quads, int firstRow, int planeRows, int count)
        where TCodec : struct, IWeightCodec
        where TElement : struct, ITensorElement
    {
        var shared = SharedMemory.Allocate<float>(GroupSize);
        int row = Grid.IdxX;
        long from = (long)(firstRow + row) * quads;
        float scale = 1f;
        if (TElement.NeedsScale)
        {
            float max = 0f;
            for (int quad = Group.IdxX; quad < quads; quad += Group.DimX)
            {
                var v = TCodec.Quad(source, from + quad);
                max = IntrinsicMath.Max(max, IntrinsicMath.Max(
                    IntrinsicMath.Max(IntrinsicMath.Abs(v.X), IntrinsicMath.Abs(v.Y)), IntrinsicMath.Max(IntrinsicMath.Abs(v.Z), IntrinsicMath.Abs(v.W))));
            }
            // the exponent of the scale, one below the largest so that its inverse is a normal number too
            int exponent = IntrinsicMath.Min(253, 268 - (int)(Interop.FloatAsInt(GroupMax(shared, max)) >> 23));
            scale = Interop.IntAsFloat((uint)exponent << 23);
            if (Group.IdxX == 0) scales[row] = Interop.IntAsFloat((uint)(254 - exponent) << 23);
        }
        var targets = planes.Cast<U2>();
        for (int quad = Group.IdxX; quad < quads; quad += Group.DimX)
        {
            var v = TCodec.Quad(source, from + quad);
            v.X *= scale;
            v.Y *= scale;
            v.Z *= scale;
            v.W *= scale;
            for (int plane = 0; plane < count; plane++)
            {
                U2 rounded;
                rounded.X = TElement.Pack(v.X, v.Y);
                rounded.Y = TElement.Pack(v.Z, v.W);
                targets[((long)plane * planeRows + row) * quads + quad] = rounded;
                v.X -= TElement.Low(rounded.X);
                v.Y -= TElement.High(rounded.X);
                v.Z -= TElement.Low(rounded.Y);
                v.W -= TElement.High(rounded.Y);
            }
        }
    }

    private static float GroupMax(ArrayView<float> shared, float value)
    {
        int thread = Group.IdxX;
        shared[thread] = value;
        Group.Barrier();
        if (thread < Partials)
        {
            for (int i = thread + Partials; i < Group.DimX; i += Partials) value = IntrinsicMath.Max(value, shared[i]);
            shared[thread] = value;
        }
        Group.Barrier();
        for (int i = 0; i < Partials; i++) value = IntrinsicMath.Max(value, shared[i]);
        return value;
    }
}
