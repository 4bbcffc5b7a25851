using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// Activations as matrix columns: each number, scaled by a power of two of its 256 columns so that the largest is at most 2^15, is the sum of two halves, 22 bits of it. A unit has both limbs of four columns.
/// </summary>
internal readonly struct StreamInput : IInputForm
{
    public static void Split(ArrayView<U4> memory, int x, int scales, int sums, int piece, int lane, F4 a, F4 b, F4 c, F4 d)
    {
        uint largest = InputParts.Largest(a, b), nextLargest = InputParts.Largest(c, d);
        Split(memory, x, scales, piece, lane, a, b, largest);
        Split(memory, x, scales, piece + 1, lane, c, d, nextLargest);
    }

    // To where the codecs read them: a lane's first four columns and its second 32 units apart (IStreamCodec.Quads).
    private static void Split(ArrayView<U4> memory, int x, int scales, int piece, int lane, F4 first, F4 second, uint largest)
    {
        // the largest number becomes one of 2^14 to 2^15
        int exponent = IntrinsicMath.Min(268 - (int)(largest >> 23), 253);
        float factor = Interop.IntAsFloat((uint)exponent << 23);
        int at = x + piece * 64 + lane;
        memory[at] = Limbs(first, factor);
        memory[at + 32] = Limbs(second, factor);
        if (lane == 0) memory.Cast<float>()[scales * 4 + piece] = Interop.IntAsFloat((uint)(254 - exponent) << 23);
    }

    private static U4 Limbs(F4 v, float factor)
    {
        float x = v.X * factor, y = v.Y * factor, z = v.Z * factor, w = v.W * factor;
        U4 limbs;
        limbs.X = TensorOps.PackHalf(x, y);
        limbs.Y = TensorOps.PackHalf(z, w);
        limbs.Z = TensorOps.PackHalf(x - Ptx.HalfLow(limbs.X), y - Ptx.HalfHigh(limbs.X));
        limbs.W = TensorOps.PackHalf(z - Ptx.HalfLow(limbs.Y), w - Ptx.HalfHigh(limbs.Y));
        return limbs;
    }
}
