using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Plain 16-bit numbers, eight a piece.</summary>
internal readonly struct SixteenBitRow<TElement> : IRowCodec
    where TElement : struct, ITensorElement
{
    public static int Depth => 4;

    public static int Quads => 2;

    public static bool Scaled => false;

    public static int Pieces(LinearArgs args) => args.RowUnits >> 3;

    public static U4 Codes(long row, int piece, int wanted, ulong policy) => LinearOps.LoadOnce(row + piece * 16L, wanted, policy);

    public static U4 Scales(long row, int piece, int wanted, ulong policy) => default;

    public static void Place(ArrayView<U4> memory, int quad, int quads, F4 value) => memory.Cast<F4>()[Place(quad >> 1, quad & 1)] = value;

    public static RowSums Add(ArrayView<U4> memory, int piece, U4 upper, U4 upperScales, U4 lower, U4 lowerScales, RowSums sums)
    {
        var activations = memory.Cast<F4>();
        F4 x0 = activations[Place(piece, 0)], x1 = activations[Place(piece, 1)];
        sums.Upper = Add(x0, upper.X, upper.Y, sums.Upper);
        sums.Lower = Add(x0, lower.X, lower.Y, sums.Lower);
        sums.Upper = Add(x1, upper.Z, upper.W, sums.Upper);
        sums.Lower = Add(x1, lower.Z, lower.W, sums.Lower);
        return sums;
    }

    // eight lanes that read together find their quads in different banks
    private static int Place(int piece, int quad) => 2 * piece + ((quad + (piece >> 2)) & 1);

    private static F4 Add(F4 x, uint first, uint second, F4 sum)
    {
        sum.X += TElement.Low(first) * x.X;
        sum.Y += TElement.High(first) * x.Y;
        sum.Z += TElement.Low(second) * x.Z;
        sum.W += TElement.High(second) * x.W;
        return sum;
    }
}
