using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// One row of activations in shared memory as matrix columns: each number, scaled by a power of two of its 256 columns so that the largest is at most 2^15, is the sum of two halves, 22 bits of it. A unit has both limbs of four
/// columns. A warp takes its part of the columns, 512 at a time, and waits for no other.
/// </summary>
internal static class StreamInput
{
    /// <summary>Fills shared memory, with the norm's weights applied, and ends with a barrier.</summary>
    public static void Prepare(ArrayView<U4> memory, LinearArgs args, StreamMemory places, InputPart part)
    {
        var numbers = memory.Cast<F4>();
        int lane = Group.IdxX & 31, quads = args.Columns >> 2;
        float squares = 0f;
        InputParts.Arrive(memory, args, part, places.Squares);
        for (int piece = part.First; piece < part.End; piece += 2)
        {
            int quad = piece * 64 + 2 * lane, at = places.X + quad;
            bool second = piece + 1 < part.End;
            F4 a = default, b = default, c = default, d = default;
            if (quad < quads) a = numbers[at];
            if (quad + 1 < quads) b = numbers[at + 1];
            if (second && quad + 64 < quads) c = numbers[at + 64];
            if (second && quad + 65 < quads) d = numbers[at + 65];
            // limbs take the place of the numbers
            TensorOps.WarpSync();
            if (args.NormFormat != 0)
            {
                if (piece > part.First) part = InputParts.Gains(args, part, piece);
                squares += InputParts.Squares(a) + InputParts.Squares(b) + (InputParts.Squares(c) + InputParts.Squares(d));
                a = InputParts.Times(a, LinearInput.Gain(args, part.GainA));
                b = InputParts.Times(b, LinearInput.Gain(args, part.GainB));
                c = InputParts.Times(c, LinearInput.Gain(args, part.GainC));
                d = InputParts.Times(d, LinearInput.Gain(args, part.GainD));
            }
            Split(memory, places, piece, lane, a, b);
            if (second) Split(memory, places, piece + 1, lane, c, d);
        }
        InputParts.Keep(memory, args, places.Squares, squares);
        Group.Barrier();
    }

    // The limbs of 256 columns, eight a lane, to where the codecs read them (IStreamCodec.Place).
    private static void Split(ArrayView<U4> memory, StreamMemory places, int piece, int lane, F4 first, F4 second)
    {
        // the largest number becomes one of 2^14 to 2^15
        int exponent = IntrinsicMath.Min(268 - (int)(InputParts.Largest(first, second) >> 23), 253);
        float factor = Interop.IntAsFloat((uint)exponent << 23);
        int at = places.X + piece * 64 + lane;
        memory[at] = Limbs(first, factor);
        memory[at + 32] = Limbs(second, factor);
        if (lane == 0) memory.Cast<float>()[places.Scales * 4 + piece] = Interop.IntAsFloat((uint)(254 - exponent) << 23);
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
