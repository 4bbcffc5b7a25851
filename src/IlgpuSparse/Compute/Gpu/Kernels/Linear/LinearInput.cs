using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// Activations as matrix columns in shared memory, normalised on the way. Two halves hold 22 bits of a number that is at most 2^15: each row is scaled by a power of two; three bfloat16 hold all
/// 24 bits at any size.
/// </summary>
internal static class LinearInput
{
    /// <summary>Fills the activations' part of shared memory, with the runs' sums and the inverse scales. Ends with a barrier.</summary>
    public static void Prepare<TCodec, TElement>(ArrayView<U4> memory, LinearArgs args, LinearMemory places)
        where TCodec : struct, ITileCodec
        where TElement : struct, ITensorElement
    {
        var inputs = args.X.Cast<F4>();
        var floats = memory.Cast<float>();
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5, warps = Group.DimX >> 5;
        int quads = args.Columns >> 2, results = places.Results * 4;
        bool measured = TCodec.Limbs == 2 || args.NormFormat != 0;
        if (measured)
        {
            for (int row = 0; row < args.Rows; row++)
            {
                float squares = 0f, largest = 0f;
                for (int quad = Group.IdxX; quad < quads; quad += Group.DimX)
                {
                    var v = inputs[args.FirstQuad + (long)row * args.RowQuads + quad];
                    squares += v.X * v.X + v.Y * v.Y + (v.Z * v.Z + v.W * v.W);
                    var w = Gain(args, quad);
                    largest = IntrinsicMath.Max(largest, IntrinsicMath.Max(
                        IntrinsicMath.Max(IntrinsicMath.Abs(v.X * w.X), IntrinsicMath.Abs(v.Y * w.Y)), IntrinsicMath.Max(IntrinsicMath.Abs(v.Z * w.Z), IntrinsicMath.Abs(v.W * w.W))));
                }
                squares = WarpSum(squares);
                largest = WarpMax(largest);
                if (lane == 0)
                {
                    floats[results + 2 * (row * warps + warp)] = squares;
                    floats[results + 2 * (row * warps + warp) + 1] = largest;
                }
            }
            Group.Barrier();
        }
        for (int row = 0; row < args.Rows; row++)
        {
            float scale = 1f, factor = 1f, inverse = 1f;
            if (measured)
            {
                float squares = 0f, largest = 0f;
                for (int w = 0; w < warps; w++)
                {
                    squares += floats[results + 2 * (row * warps + w)];
                    largest = IntrinsicMath.Max(largest, floats[results + 2 * (row * warps + w) + 1]);
                }
                if (args.NormFormat != 0) scale = Ptx.Rsqrt(squares / args.Columns + args.Epsilon);
                if (TCodec.Limbs == 2)
                {
                    // the largest number becomes one of 2^14 to 2^15
                    int exponent = (int)(Interop.FloatAsInt(largest * scale) >> 23);
                    exponent = IntrinsicMath.Min(268 - exponent, 253);
                    factor = Interop.IntAsFloat((uint)exponent << 23);
                    inverse = Interop.IntAsFloat((uint)(254 - exponent) << 23);
                }
            }
            if (Group.IdxX == 0) floats[places.Inverses * 4 + row] = inverse;
            Split<TCodec, TElement>(memory, args, places, row, scale, factor);
        }
        if (Group.IdxX == 0) memory[places.Zero] = default;
        Group.Barrier();
    }

    private static void Split<TCodec, TElement>(ArrayView<U4> memory, LinearArgs args, LinearMemory places, int row, float scale, float factor)
        where TCodec : struct, ITileCodec
        where TElement : struct, ITensorElement
    {
        var inputs = args.X.Cast<F4>();
        var pairs = memory.Cast<U2>();
        var floats = memory.Cast<float>();
        int quads = args.Columns >> 2, runs = args.RowStages * TCodec.Runs;
        int column = (places.X + row * TCodec.Limbs * places.Stride) * 2;
        for (int quad = Group.IdxX; quad < runs * 8; quad += Group.DimX)
        {
            F4 v = default;
            if (quad < quads)
            {
                v = inputs[args.FirstQuad + (long)row * args.RowQuads + quad];
                var w = Gain(args, quad);
                v.X = v.X * (scale * w.X) * factor;
                v.Y = v.Y * (scale * w.Y) * factor;
                v.Z = v.Z * (scale * w.Z) * factor;
                v.W = v.W * (scale * w.W) * factor;
            }
            var whole = v;
            // the order of ITileCodec: lane t's numbers of a run side by side
            int at = column + (quad & ~7) + 2 * (quad & 3) + (quad >> 2 & 1);
            for (int limb = 0; limb < TCodec.Limbs; limb++)
            {
                U2 rounded;
                if (TCodec.Crossed)
                {
                    rounded.X = TElement.Pack(v.X, v.Z);
                    rounded.Y = TElement.Pack(v.Y, v.W);
                    v.X -= TElement.Low(rounded.X);
                    v.Z -= TElement.High(rounded.X);
                    v.Y -= TElement.Low(rounded.Y);
                    v.W -= TElement.High(rounded.Y);
                }
                else
                {
                    rounded.X = TElement.Pack(v.X, v.Y);
                    rounded.Y = TElement.Pack(v.Z, v.W);
                    v.X -= TElement.Low(rounded.X);
                    v.Y -= TElement.High(rounded.X);
                    v.Z -= TElement.Low(rounded.Y);
                    v.W -= TElement.High(rounded.Y);
                }
                pairs[at + limb * places.Stride * 2] = rounded;
            }
            if (TCodec.HasOffsets)
            {
                // of the limbs, so that weights of which scale and minimum cancel see the same activation in both; eight lanes have a run, a warp has whole ones
                float sum = whole.X - v.X + (whole.Y - v.Y) + (whole.Z - v.Z + (whole.W - v.W));
                sum += Warp.ShuffleXor(sum, 1);
                sum += Warp.ShuffleXor(sum, 2);
                sum += Warp.ShuffleXor(sum, 4);
                if ((quad & 7) == 0) floats[places.Sums * 4 + row * runs + (quad >> 3)] = sum;
            }
        }
    }

    // The norm's weights; ones without a norm.
    private static F4 Gain(LinearArgs args, int quad)
    {
        F4 gain;
        gain.X = gain.Y = gain.Z = gain.W = 1f;
        if (args.NormFormat == 1 + (int)WeightFormat.F32) gain = F32Weights.Quad(args.Norm, quad);
        if (args.NormFormat == 1 + (int)WeightFormat.F16) gain = F16Weights.Quad(args.Norm, quad);
        if (args.NormFormat == 1 + (int)WeightFormat.BF16) gain = BF16Weights.Quad(args.Norm, quad);
        return gain;
    }

    private static float WarpSum(float value)
    {
        value += Warp.ShuffleXor(value, 16);
        value += Warp.ShuffleXor(value, 8);
        value += Warp.ShuffleXor(value, 4);
        value += Warp.ShuffleXor(value, 2);
        return value + Warp.ShuffleXor(value, 1);
    }

    private static float WarpMax(float value)
    {
        value = IntrinsicMath.Max(value, Warp.ShuffleXor(value, 16));
        value = IntrinsicMath.Max(value, Warp.ShuffleXor(value, 8));
        value = IntrinsicMath.Max(value, Warp.ShuffleXor(value, 4));
        value = IntrinsicMath.Max(value, Warp.ShuffleXor(value, 2));
        return IntrinsicMath.Max(value, Warp.ShuffleXor(value, 1));
    }
}
