using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Half precision, 512 numbers a stage: each lane has two pieces of eight.</summary>
internal readonly struct F16Stream : IStreamCodec
{
    public static int Units => 64;

    public static int Quads => 128;

    public static F4 Multiply(ArrayView<U4> memory, int at, int x, int scales, int lane, F4 sums)
    {
        for (int piece = 0; piece < 2; piece++)
        {
            F4 products = default, rests = default;
            float scale = memory.Cast<float>()[scales + piece];
            U4 a = LinearOps.Load(ref memory[at + lane], piece * 512), b = LinearOps.Load(ref memory[at + lane], piece * 512 + 1024);
            U4 firstX = LinearOps.Load(ref memory[x + lane], piece * 1024), secondX = LinearOps.Load(ref memory[x + lane], piece * 1024 + 512);
            var first = new U4 { X = a.X, Y = b.X, Z = a.Y, W = b.Y };
            var second = new U4 { X = a.Z, Y = b.Z, Z = a.W, W = b.W };
            products = TensorOps.MultiplyHalf(first, new U2 { X = firstX.X, Y = firstX.Y }, products);
            rests = TensorOps.MultiplyHalf(first, new U2 { X = firstX.Z, Y = firstX.W }, rests);
            products = TensorOps.MultiplyHalf(second, new U2 { X = secondX.X, Y = secondX.Y }, products);
            rests = TensorOps.MultiplyHalf(second, new U2 { X = secondX.Z, Y = secondX.W }, rests);
            sums.X += scale * (products.X + rests.X);
            sums.Y += scale * (products.Y + rests.Y);
            sums.Z += scale * (products.Z + rests.Z);
            sums.W += scale * (products.W + rests.W);
        }
        return sums;
    }
}
