using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// How <see cref="LinearRowKernel"/> reads a weight row: lane l takes piece l, l + 32, l + 64 .. of 16 bytes, eight numbers, straight into registers and multiplies them with activations in shared memory, which lie in the
/// order of the pieces.
/// </summary>
internal static class BF16Row
{
    /// <summary>Pieces of a row that a lane has under way.</summary>
    public const int Depth = 4;

    /// <summary>Activations a piece / 4.</summary>
    public const int Quads = 2;

    /// <summary>Steps of 32 pieces of a row, a multiple of <see cref="Depth"/>.</summary>
    public static int Steps(int columns) => (columns / (4 * Quads) + 32 * Depth - 1) / (32 * Depth) * Depth;

    /// <summary>The 16 bytes of a piece of the row at a device address; zeros where <paramref name="wanted"/> is 0.</summary>
    public static U4 Load(long row, int piece, int wanted, ulong policy) => LinearOps.LoadOnce(row + piece * 16L, wanted, policy);

    /// <summary>Puts the activations of columns 4 · <paramref name="quad"/> to 4 · quad + 3 where pieces expect them.</summary>
    public static void Place(ArrayView<U4> memory, int quad, F4 value) => memory.Cast<F4>()[Place(quad >> 1, quad & 1)] = value;

    /// <summary>Adds the products of a piece of two rows with the activations.</summary>
    public static RowSums Add(ArrayView<U4> memory, int piece, U4 upper, U4 lower, RowSums sums)
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
        sum.X += TensorBF16.Low(first) * x.X;
        sum.Y += TensorBF16.High(first) * x.Y;
        sum.Z += TensorBF16.Low(second) * x.Z;
        sum.W += TensorBF16.High(second) * x.W;
        return sum;
    }
}
