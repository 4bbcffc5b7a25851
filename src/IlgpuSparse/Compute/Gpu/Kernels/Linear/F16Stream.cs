using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Half precision, 512 numbers a stage: each lane has two pieces of eight.</summary>
internal readonly struct F16Stream : IStreamCodec
{
    public static int Units => 64;

    public static int Quads => 128;

    // bits of quad: stage and piece of the lane, lane (5), half of the piece
    public static int Place(int quad) => (quad >> 6) * 64 + (quad & 1) * 32 + (quad >> 1 & 31);

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
