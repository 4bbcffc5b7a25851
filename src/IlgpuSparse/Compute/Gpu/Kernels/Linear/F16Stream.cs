using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// A stage of two weight rows in half precision, 512 numbers each: every lane has two pieces of eight of both. Lanes 4g to 4g + 3 are rows g and g + 8 of one operand of the matrix instructions, and their activations are column
/// g of the other. What counts lies on the diagonal of the result.
/// </summary>
internal static class F16Stream
{
    /// <summary>Stages that a warp has under way.</summary>
    public const int Depth = 4;

    /// <summary>16-byte units of a row's stage.</summary>
    public const int Units = 64;

    /// <summary>Columns of a row's stage / 4.</summary>
    public const int Quads = 128;

    /// <summary>Stages of a row.</summary>
    public static int RowStages(int columns) => (columns / 4 + Quads - 1) / Quads;

    /// <summary>The unit of activations that columns 4 · <paramref name="quad"/> to 4 · quad + 3 lie in: lanes that read together find theirs side by side.</summary>
    public static int Place(int quad)
    {
        // bits of quad: stage and piece of the lane, lane (5), half of the piece
        return (quad >> 6) * 64 + (quad & 1) * 32 + (quad >> 1 & 31);
    }

    /// <summary>
    /// Adds the products of a stage, of the upper row in X and Y and of the lower one in Z and W. <paramref name="at"/> is where the upper row's part begins, the lower one's follows; <paramref name="x"/> is where its
    /// activations do.
    /// </summary>
    public static F4 Multiply(ArrayView<U4> memory, int at, int x, int lane, F4 sums)
    {
        F4 products = default, rests = default;
        for (int piece = 0; piece < 2; piece++)
        {
            U4 a = LinearOps.Load(ref memory[at + lane], piece * 512), b = LinearOps.Load(ref memory[at + lane], piece * 512 + 1024);
            U4 firstX = LinearOps.Load(ref memory[x + lane], piece * 1024), secondX = LinearOps.Load(ref memory[x + lane], piece * 1024 + 512);
            var first = new U4 { X = a.X, Y = b.X, Z = a.Y, W = b.Y };
            var second = new U4 { X = a.Z, Y = b.Z, Z = a.W, W = b.W };
            products = TensorOps.MultiplyHalf(first, new U2 { X = firstX.X, Y = firstX.Y }, products);
            rests = TensorOps.MultiplyHalf(first, new U2 { X = firstX.Z, Y = firstX.W }, rests);
            products = TensorOps.MultiplyHalf(second, new U2 { X = secondX.X, Y = secondX.Y }, products);
            rests = TensorOps.MultiplyHalf(second, new U2 { X = secondX.Z, Y = secondX.W }, rests);
        }
        sums.X += products.X + rests.X;
        sums.Y += products.Y + rests.Y;
        sums.Z += products.Z + rests.Z;
        sums.W += products.W + rests.W;
        return sums;
    }
}
