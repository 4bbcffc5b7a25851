using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// One row of activations in shared memory as matrix columns: each number, scaled by a power of two so that the largest is at most 2^15, is the sum of two halves, 22 bits of it. A unit has both limbs of four
/// columns, and room for the four numbers themselves until the power is known.
/// </summary>
internal static class StreamInput
{
    /// <summary>What a warp does before earlier kernels have ended.</summary>
    public static InputPart Ahead<TCodec>(ArrayView<U4> memory, LinearArgs args, StreamMemory places)
        where TCodec : struct, IStreamCodec
    {
        InputParts.Expect(args, ref Barrier(memory, places));
        return InputParts.Of(args, args.RowStages * (TCodec.Quads / 64), 1);
    }

    /// <summary>Fills shared memory and ends with a barrier. The norm's weights are applied; its factor and the power's inverse are returned, for the products.</summary>
    public static float Prepare(ArrayView<U4> memory, LinearArgs args, StreamMemory places, InputPart part)
    {
        var numbers = memory.Cast<F4>();
        var factors = memory.Cast<F2>();
        int lane = Group.IdxX & 31, quads = args.Columns >> 2;
        float squares = 0f, largest = 0f;
        InputParts.Bring(memory, args, part, places.X + part.First * 64, ref Barrier(memory, places));
        for (int piece = part.First; piece < part.End; piece += 2)
        {
            int quad = piece * 64 + 2 * lane, at = places.X + quad;
            F4 a = default, b = default, c = default, d = default;
            if (quad < quads) a = numbers[at];
            if (quad + 1 < quads) b = numbers[at + 1];
            if (quad + 64 < quads && piece + 1 < part.End) c = numbers[at + 64];
            if (quad + 65 < quads && piece + 1 < part.End) d = numbers[at + 65];
            if (args.NormFormat != 0)
            {
                if (piece > part.First) part = InputParts.Gains(args, part, piece);
                squares += InputParts.Squares(a) + InputParts.Squares(b) + (InputParts.Squares(c) + InputParts.Squares(d));
                a = InputParts.Times(a, LinearInput.Gain(args, part.GainA));
                b = InputParts.Times(b, LinearInput.Gain(args, part.GainB));
                c = InputParts.Times(c, LinearInput.Gain(args, part.GainC));
                d = InputParts.Times(d, LinearInput.Gain(args, part.GainD));
            }
            largest = IntrinsicMath.Max(IntrinsicMath.Max(largest, IntrinsicMath.Max(Largest(a), Largest(b))), IntrinsicMath.Max(Largest(c), Largest(d)));
            // to where their limbs will be (IStreamCodec.Place), which is where others' numbers were
            TensorOps.WarpSync();
            int place = places.X + piece * 64 + lane;
            numbers[place] = a;
            numbers[place + 32] = b;
            if (piece + 1 < part.End)
            {
                numbers[place + 64] = c;
                numbers[place + 96] = d;
            }
        }
        squares = LinearInput.WarpSum(squares);
        largest = LinearInput.WarpMax(largest);
        if ((Group.IdxX & 31) == 0) factors[places.Factors * 2 + (Group.IdxX >> 5)] = new F2 { X = squares, Y = largest };
        Group.Barrier();
        squares = 0f;
        largest = 0f;
        for (int w = 0; w < Group.DimX >> 5; w++)
        {
            var theirs = factors[places.Factors * 2 + w];
            squares += theirs.X;
            largest = IntrinsicMath.Max(largest, theirs.Y);
        }
        // the largest number becomes one of 2^14 to 2^15
        int exponent = IntrinsicMath.Min(268 - (int)(Interop.FloatAsInt(largest) >> 23), 253);
        float factor = Interop.IntAsFloat((uint)exponent << 23);
        // each thread what it has written itself
        for (int at = places.X + part.First * 64 + lane; at < places.X + part.End * 64; at += 32) Split(memory, at, factor);
        Group.Barrier();
        float scale = Interop.IntAsFloat((uint)(254 - exponent) << 23);
        if (args.NormFormat != 0) scale *= Ptx.Rsqrt(squares / args.Columns + args.Epsilon);
        return scale;
    }

    // Where the warp's sum and largest number will be.
    private static ref ulong Barrier(ArrayView<U4> memory, StreamMemory places) => ref memory.Cast<ulong>()[places.Factors * 2 + (Group.IdxX >> 5)];

    private static float Largest(F4 v) => IntrinsicMath.Max(IntrinsicMath.Max(IntrinsicMath.Abs(v.X), IntrinsicMath.Abs(v.Y)), IntrinsicMath.Max(IntrinsicMath.Abs(v.Z), IntrinsicMath.Abs(v.W)));

    private static void Split(ArrayView<U4> memory, int at, float factor)
    {
        var v = memory.Cast<F4>()[at];
        float x = v.X * factor, y = v.Y * factor, z = v.Z * factor, w = v.W * factor;
        U4 limbs;
        limbs.X = TensorOps.PackHalf(x, y);
        limbs.Y = TensorOps.PackHalf(z, w);
        limbs.Z = TensorOps.PackHalf(x - Ptx.HalfLow(limbs.X), y - Ptx.HalfHigh(limbs.X));
        limbs.W = TensorOps.PackHalf(z - Ptx.HalfLow(limbs.Y), w - Ptx.HalfHigh(limbs.Y));
        memory[at] = limbs;
    }
}
