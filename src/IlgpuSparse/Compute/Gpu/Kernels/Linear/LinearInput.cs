using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// Activations as matrix columns in shared memory, normalised on the way. Two halves hold 22 bits of a number that is at most 2^15: each row is scaled by a power of two; three bfloat16 hold all
/// 24 bits at any size.
/// </summary>
internal static class LinearInput
{
    /// <summary>Loads of a thread under way: a round trip to memory takes as long as all the arithmetic on a row.</summary>
    private const int Loads = 8;

    /// <summary>Fills the activations' part of shared memory, with the runs' sums and the inverse scales. Ends with a barrier.</summary>
    public static void Prepare<TCodec, TElement, TTiles>(ArrayView<U4> memory, LinearArgs args, LinearMemory places)
        where TCodec : struct, ITileCodec
        where TElement : struct, ITensorElement
        where TTiles : struct, IKernelCount
    {
        var floats = memory.Cast<float>();
        int warps = Group.DimX >> 5, results = places.Results * 4, factors = results + 2 * args.Rows * warps;
        if (TCodec.Limbs == 2 || args.NormFormat != 0)
        {
            Measure<TTiles>(memory, args, results);
            Group.Barrier();
        }
        if (Group.IdxX < args.Rows)
        {
            float scale = 1f, factor = 1f, inverse = 1f;
            if (TCodec.Limbs == 2 || args.NormFormat != 0)
            {
                float squares = 0f, largest = 0f;
                for (int w = 0; w < warps; w++)
                {
                    squares += floats[results + 2 * (Group.IdxX * warps + w)];
                    largest = IntrinsicMath.Max(largest, floats[results + 2 * (Group.IdxX * warps + w) + 1]);
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
            floats[factors + 2 * Group.IdxX] = scale;
            floats[factors + 2 * Group.IdxX + 1] = factor;
            floats[places.Inverses * 4 + Group.IdxX] = inverse;
        }
        if (Group.IdxX == 0) memory[places.Zero] = default;
        Group.Barrier();
        for (int row = 0; row < args.Rows; row += 1 << Shift<TTiles>()) Split<TCodec, TElement, TTiles>(memory, args, places, row, factors);
        Group.Barrier();
    }

    // Rows that are loaded together: 1 for one row, up to 4 as there are more.
    private static int Shift<TTiles>() where TTiles : struct, IKernelCount => TTiles.Value - (TTiles.Value >> 2 << 1);

    // What a thread takes of the rows from one on, and of the norm's weights: loads that follow each other, past the end the last quad.
    private static void Load<TTiles>(LinearArgs args, int row, int first, F4[] values, U4[] gains)
        where TTiles : struct, IKernelCount
    {
        var inputs = args.X.Cast<F4>();
        int quads = args.Columns >> 2;
        for (int j = 0; j < Loads >> Shift<TTiles>(); j++)
        {
            int quad = IntrinsicMath.Min(first + j * Group.DimX, quads - 1);
            gains[j] = GainBits(args, quad);
            for (int r = 0; r < 1 << Shift<TTiles>(); r++) values[(j << Shift<TTiles>()) + r] = inputs[args.FirstQuad + (long)IntrinsicMath.Min(row + r, args.Rows - 1) * args.RowQuads + quad];
        }
    }

    // Each warp's sum of squares, and largest number after the norm's weights, of each row.
    private static void Measure<TTiles>(ArrayView<U4> memory, LinearArgs args, int results)
        where TTiles : struct, IKernelCount
    {
        var floats = memory.Cast<float>();
        int quads = args.Columns >> 2, warps = Group.DimX >> 5;
        for (int row = 0; row < args.Rows; row += 1 << Shift<TTiles>())
        {
            var squares = new float[4];
            var largest = new float[4];
            for (int first = Group.IdxX; first < quads; first += (Loads >> Shift<TTiles>()) * Group.DimX)
            {
                var values = new F4[Loads];
                var gains = new U4[Loads];
                Load<TTiles>(args, row, first, values, gains);
                for (int j = 0; j < Loads >> Shift<TTiles>(); j++)
                {
                    var w = Gain(args, gains[j]);
                    for (int r = 0; r < 1 << Shift<TTiles>(); r++)
                    {
                        var v = values[(j << Shift<TTiles>()) + r];
                        if (first + j * Group.DimX >= quads) v = default;
                        squares[r] += v.X * v.X + v.Y * v.Y + (v.Z * v.Z + v.W * v.W);
                        largest[r] = IntrinsicMath.Max(largest[r], IntrinsicMath.Max(
                            IntrinsicMath.Max(IntrinsicMath.Abs(v.X * w.X), IntrinsicMath.Abs(v.Y * w.Y)), IntrinsicMath.Max(IntrinsicMath.Abs(v.Z * w.Z), IntrinsicMath.Abs(v.W * w.W))));
                    }
                }
            }
            for (int r = 0; r < 1 << Shift<TTiles>(); r++)
            {
                float sum = WarpSum(squares[r]), most = WarpMax(largest[r]);
                if ((Group.IdxX & 31) == 0 && row + r < args.Rows)
                {
                    int at = results + 2 * ((row + r) * warps + (Group.IdxX >> 5));
                    floats[at] = sum;
                    floats[at + 1] = most;
                }
            }
        }
    }

    private static void Split<TCodec, TElement, TTiles>(ArrayView<U4> memory, LinearArgs args, LinearMemory places, int row, int factors)
        where TCodec : struct, ITileCodec
        where TElement : struct, ITensorElement
        where TTiles : struct, IKernelCount
    {
        var floats = memory.Cast<float>();
        int quads = args.Columns >> 2, padded = args.RowStages * TCodec.Runs * 8;
        for (int first = Group.IdxX; first < padded; first += (Loads >> Shift<TTiles>()) * Group.DimX)
        {
            var values = new F4[Loads];
            var gains = new U4[Loads];
            Load<TTiles>(args, row, first, values, gains);
            for (int j = 0; j < Loads >> Shift<TTiles>(); j++)
            {
                int quad = first + j * Group.DimX;
                var w = Gain(args, gains[j]);
                for (int r = 0; r < 1 << Shift<TTiles>(); r++)
                {
                    var v = values[(j << Shift<TTiles>()) + r];
                    int own = IntrinsicMath.Min(row + r, args.Rows - 1);
                    float scale = floats[factors + 2 * own], factor = floats[factors + 2 * own + 1];
                    v.X = v.X * (scale * w.X) * factor;
                    v.Y = v.Y * (scale * w.Y) * factor;
                    v.Z = v.Z * (scale * w.Z) * factor;
                    v.W = v.W * (scale * w.W) * factor;
                    if (quad >= quads) v = default;
                    Place<TCodec, TElement>(memory, args, places, own, quad, v, quad < padded && row + r < args.Rows);
                }
            }
        }
    }

    // Four columns of one row; by whole warps, because of the sums.
    private static void Place<TCodec, TElement>(ArrayView<U4> memory, LinearArgs args, LinearMemory places, int row, int quad, F4 v, bool wanted)
        where TCodec : struct, ITileCodec
        where TElement : struct, ITensorElement
    {
        var pairs = memory.Cast<U2>();
        var whole = v;
        // the order of ITileCodec: lane t's numbers of a run side by side
        int at = (places.X + row * TCodec.Limbs * places.Stride) * 2 + (quad & ~7) + 2 * (quad & 3) + (quad >> 2 & 1);
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
            if (wanted) pairs[at + limb * places.Stride * 2] = rounded;
        }
        if (TCodec.HasOffsets)
        {
            // of the limbs, so that weights of which scale and minimum cancel see the same activation in both; eight lanes have a run, a warp has whole ones
            float sum = whole.X - v.X + (whole.Y - v.Y) + (whole.Z - v.Z + (whole.W - v.W));
            sum += Warp.ShuffleXor(sum, 1);
            sum += Warp.ShuffleXor(sum, 2);
            sum += Warp.ShuffleXor(sum, 4);
            if (wanted && (quad & 7) == 0) memory.Cast<float>()[places.Sums * 4 + row * args.RowStages * TCodec.Runs + (quad >> 3)] = sum;
        }
    }

    /// <summary>The norm's weights of four columns as stored, so that nothing waits for them yet.</summary>
    public static U4 GainBits(LinearArgs args, int quad)
    {
        U4 bits = default;
        if (args.NormFormat == 1 + (int)WeightFormat.F32) bits = Kernels.Loads.Constant(ref args.Norm.Cast<U4>()[quad]);
        else if (args.NormFormat != 0)
        {
            var pairs = Kernels.Loads.Constant(ref args.Norm.Cast<U2>()[quad]);
            bits.X = pairs.X;
            bits.Y = pairs.Y;
        }
        return bits;
    }

    /// <summary>What <see cref="GainBits"/> has read; ones without a norm.</summary>
    public static F4 Gain(LinearArgs args, U4 bits)
    {
        F4 gain;
        gain.X = gain.Y = gain.Z = gain.W = 1f;
        if (args.NormFormat == 1 + (int)WeightFormat.F32)
        {
            gain.X = Interop.IntAsFloat(bits.X);
            gain.Y = Interop.IntAsFloat(bits.Y);
            gain.Z = Interop.IntAsFloat(bits.Z);
            gain.W = Interop.IntAsFloat(bits.W);
        }
        if (args.NormFormat == 1 + (int)WeightFormat.F16)
        {
            gain.X = Ptx.HalfLow(bits.X);
            gain.Y = Ptx.HalfHigh(bits.X);
            gain.Z = Ptx.HalfLow(bits.Y);
            gain.W = Ptx.HalfHigh(bits.Y);
        }
        if (args.NormFormat == 1 + (int)WeightFormat.BF16)
        {
            gain.X = Ptx.BrainLow(bits.X);
            gain.Y = Ptx.BrainHigh(bits.X);
            gain.Z = Ptx.BrainLow(bits.Y);
            gain.W = Ptx.BrainHigh(bits.Y);
        }
        return gain;
    }

    /// <summary>The sum over the warp, in every lane.</summary>
    public static float WarpSum(float value)
    {
        value += Warp.ShuffleXor(value, 16);
        value += Warp.ShuffleXor(value, 8);
        value += Warp.ShuffleXor(value, 4);
        value += Warp.ShuffleXor(value, 2);
        return value + Warp.ShuffleXor(value, 1);
    }

    /// <summary>The largest of the warp, in every lane.</summary>
    public static float WarpMax(float value)
    {
        value = IntrinsicMath.Max(value, Warp.ShuffleXor(value, 16));
        value = IntrinsicMath.Max(value, Warp.ShuffleXor(value, 8));
        value = IntrinsicMath.Max(value, Warp.ShuffleXor(value, 4));
        value = IntrinsicMath.Max(value, Warp.ShuffleXor(value, 2));
        return IntrinsicMath.Max(value, Warp.ShuffleXor(value, 1));
    }
}
