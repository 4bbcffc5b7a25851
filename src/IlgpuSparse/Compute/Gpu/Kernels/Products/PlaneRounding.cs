using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>
/// Numbers as planes of 16 bits, each the rounded rest that the planes before leave. Half precision has eight binades less than single precision, so a row is scaled by a power of two that
/// puts its largest number between 2¹⁴ and 2¹⁵: nothing overflows, and what is lost lies 2²⁸ below the largest.
/// </summary>
internal static class PlaneRounding
{
    private const int Partials = 16;

    /// <summary>The scale of a row whose largest magnitude is <paramref name="max"/>; one for element types that need none.</summary>
    public static float Scale<TElement>(float max) where TElement : struct, ITensorElement =>
        TElement.NeedsScale ? Interop.IntAsFloat((uint)Exponent(max) << 23) : 1f;

    /// <summary>One over <see cref="Scale"/>.</summary>
    public static float Inverse(float max) => Interop.IntAsFloat((uint)(254 - Exponent(max)) << 23);

    /// <summary>The largest of four magnitudes.</summary>
    public static float Largest(F4 v) => IntrinsicMath.Max(
        IntrinsicMath.Max(IntrinsicMath.Abs(v.X), IntrinsicMath.Abs(v.Y)), IntrinsicMath.Max(IntrinsicMath.Abs(v.Z), IntrinsicMath.Abs(v.W)));

    /// <summary>The largest of the group's values, for groups of any multiple of 16 threads; <paramref name="shared"/> has room for one each.</summary>
    public static float GroupMax(ArrayView<float> shared, float value)
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

    /// <summary>Writes four numbers of a row into <paramref name="count"/> planes, <paramref name="planeQuads"/> quads apart.</summary>
    public static void Write<TElement>(ArrayView<ushort> planes, long quad, long planeQuads, int count, F4 v) where TElement : struct, ITensorElement
    {
        var targets = planes.Cast<U2>();
        for (int plane = 0; plane < count; plane++)
        {
            U2 rounded;
            rounded.X = TElement.Pack(v.X, v.Y);
            rounded.Y = TElement.Pack(v.Z, v.W);
            targets[plane * planeQuads + quad] = rounded;
            v.X -= TElement.Low(rounded.X);
            v.Y -= TElement.High(rounded.X);
            v.Z -= TElement.Low(rounded.Y);
            v.W -= TElement.High(rounded.Y);
        }
    }

    // The scale's exponent field, one below the largest so that its inverse is a normal number too.
    private static int Exponent(float max) => IntrinsicMath.Min(253, 268 - (int)(Interop.FloatAsInt(max) >> 23));
}
