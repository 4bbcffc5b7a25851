using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// One row of activations in shared memory as matrix columns: each number, scaled by a power of two so that the largest is at most 2^15, is the sum of two halves, 22 bits of it. A unit has both limbs of four
/// columns, and room for the four numbers themselves until the power is known.
/// </summary>
internal static class StreamInput
{
    /// <summary>Loads of a thread under way.</summary>
    private const int Batch = 4;

    /// <summary>Fills shared memory and ends with a barrier. The norm's weights are applied; its factor and the power's inverse are returned, for the products.</summary>
    public static float Prepare<TCodec>(ArrayView<U4> memory, LinearArgs args, StreamMemory places)
        where TCodec : struct, IStreamCodec
    {
        var inputs = args.X.Cast<F4>();
        var numbers = memory.Cast<F4>();
        var factors = memory.Cast<F2>();
        int quads = args.Columns >> 2, total = args.RowStages * TCodec.Quads;
        float squares = 0f, largest = 0f;
        for (int first = Group.IdxX; first < total; first += Batch * Group.DimX)
        {
            var values = new F4[Batch];
            var gains = new U4[Batch];
            for (int i = 0; i < Batch; i++)
            {
                int quad = IntrinsicMath.Min(first + i * Group.DimX, quads - 1);
                values[i] = inputs[args.FirstQuad + quad];
                gains[i] = LinearInput.GainBits(args, quad);
            }
            for (int i = 0; i < Batch; i++)
            {
                int quad = first + i * Group.DimX;
                F4 v = values[i], gain = LinearInput.Gain(args, gains[i]);
                if (quad >= quads) v = default;
                squares += v.X * v.X + v.Y * v.Y + (v.Z * v.Z + v.W * v.W);
                v.X *= gain.X;
                v.Y *= gain.Y;
                v.Z *= gain.Z;
                v.W *= gain.W;
                largest = IntrinsicMath.Max(largest, IntrinsicMath.Max(IntrinsicMath.Max(IntrinsicMath.Abs(v.X), IntrinsicMath.Abs(v.Y)), IntrinsicMath.Max(IntrinsicMath.Abs(v.Z), IntrinsicMath.Abs(v.W))));
                if (quad < total) numbers[places.X + TCodec.Place(quad)] = v;
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
            var part = factors[places.Factors * 2 + w];
            squares += part.X;
            largest = IntrinsicMath.Max(largest, part.Y);
        }
        // the largest number becomes one of 2^14 to 2^15
        int exponent = IntrinsicMath.Min(268 - (int)(Interop.FloatAsInt(largest) >> 23), 253);
        float factor = Interop.IntAsFloat((uint)exponent << 23);
        // each thread what it has written itself
        for (int quad = Group.IdxX; quad < total; quad += Group.DimX) Split<TCodec>(memory, places, quad, factor);
        Group.Barrier();
        float scale = Interop.IntAsFloat((uint)(254 - exponent) << 23);
        if (args.NormFormat != 0) scale *= Ptx.Rsqrt(squares / args.Columns + args.Epsilon);
        return scale;
    }

    private static void Split<TCodec>(ArrayView<U4> memory, StreamMemory places, int quad, float factor)
        where TCodec : struct, IStreamCodec
    {
        int at = places.X + TCodec.Place(quad);
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
