using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// One row of activations in shared memory as columns of an integer matrix: each number, scaled by a power of two and rounded to an integer of <see cref="IDigitCodec.Bits"/> bits and more, is four balanced digits, bytes
/// of -128 to 127. Numbers stay in registers until the power is known, as far as there are registers for them.
/// </summary>
internal static class DigitInput
{
    /// <summary>Eights of columns that a thread keeps; what is beyond it is loaded again.</summary>
    private const int Kept = 6;

    /// <summary>The norm's weights, which no kernel writes and whose way from memory is long, to the second-level cache.</summary>
    public static void Ahead(LinearArgs args)
    {
        if (args.NormFormat != 0)
        {
            var words = args.Norm.Cast<uint>();
            int count = args.NormFormat == 1 + (int)WeightFormat.F32 ? args.Columns : args.Columns >> 1;
            // a line of 128 bytes each
            for (int word = Group.IdxX * 32; word < count; word += Group.DimX * 32) Loads.Ahead(ref words[word]);
        }
    }

    /// <summary>Fills shared memory and ends with a barrier. The norm's weights are applied; its factor and the power's inverse are returned, for the products.</summary>
    public static float Prepare<TCodec>(ArrayView<U4> memory, LinearArgs args, DigitMemory places)
        where TCodec : struct, IDigitCodec
    {
        var factors = memory.Cast<F2>();
        int octs = args.Columns >> 3, total = args.RowStages * TCodec.Octs;
        float squares = 0f, largest = 0f;
        var values = new F4[2 * Kept];
        for (int i = 0; i < Kept; i++)
        {
            int oct = Group.IdxX + i * Group.DimX;
            if (oct < octs)
            {
                values[2 * i] = Load(args, 2 * oct);
                values[2 * i + 1] = Load(args, 2 * oct + 1);
            }
        }
        for (int i = 0; i < Kept; i++)
        {
            int oct = Group.IdxX + i * Group.DimX;
            if (oct < octs)
            {
                squares += Squares(values[2 * i]) + Squares(values[2 * i + 1]);
                values[2 * i] = Gained(args, 2 * oct, values[2 * i]);
                values[2 * i + 1] = Gained(args, 2 * oct + 1, values[2 * i + 1]);
                largest = IntrinsicMath.Max(largest, IntrinsicMath.Max(Largest(values[2 * i]), Largest(values[2 * i + 1])));
            }
        }
        for (int oct = Group.IdxX + Kept * Group.DimX; oct < octs; oct += Group.DimX)
        {
            F4 first = Load(args, 2 * oct), second = Load(args, 2 * oct + 1);
            squares += Squares(first) + Squares(second);
            largest = IntrinsicMath.Max(largest, IntrinsicMath.Max(Largest(Gained(args, 2 * oct, first)), Largest(Gained(args, 2 * oct + 1, second))));
        }
        squares = LinearInput.WarpSum(squares);
        largest = LinearInput.WarpMax(largest);
        if ((Group.IdxX & 31) == 0) factors[places.Factors * 2 + (Group.IdxX >> 5)] = new F2 { X = squares, Y = largest };
        Group.Barrier();
        squares = 0f;
        largest = 0f;
        for (int w = 0; w < RowDigitKernel.Warps; w++)
        {
            if (w < Group.DimX >> 5)
            {
                var part = factors[places.Factors * 2 + w];
                squares += part.X;
                largest = IntrinsicMath.Max(largest, part.Y);
            }
        }
        // the largest number becomes one of 2^Bits to 2^(Bits + 1), and 2^Shift times as much where that is wanted
        int exponent = IntrinsicMath.Min(254 + TCodec.Bits - (int)(Interop.FloatAsInt(largest) >> 23), 253 - TCodec.Shift);
        float factor = Interop.IntAsFloat((uint)exponent << 23);
        for (int i = 0; i < Kept; i++)
        {
            int oct = Group.IdxX + i * Group.DimX;
            // whole warps, because of the sums
            if (oct < total) Split<TCodec>(memory, places, oct, factor, values[2 * i], values[2 * i + 1]);
        }
        for (int oct = Group.IdxX + Kept * Group.DimX; oct < total; oct += Group.DimX)
        {
            F4 first = default, second = default;
            if (oct < octs)
            {
                first = Gained(args, 2 * oct, Load(args, 2 * oct));
                second = Gained(args, 2 * oct + 1, Load(args, 2 * oct + 1));
            }
            Split<TCodec>(memory, places, oct, factor, first, second);
        }
        Group.Barrier();
        float scale = Interop.IntAsFloat((uint)(254 - exponent) << 23);
        if (args.NormFormat != 0) scale *= Ptx.Rsqrt(squares / args.Columns + args.Epsilon);
        // integers know no infinity and no number that is none: a sum of squares does, of activations, and the largest of weighted ones
        bool finite = Interop.FloatAsInt(largest) < 0x7f800000u && (Interop.FloatAsInt(squares) & 0x7fffffffu) <= 0x7f800000u;
        return finite ? scale : float.NaN;
    }

    private static F4 Load(LinearArgs args, int quad) => args.X.Cast<F4>()[args.FirstQuad + quad];

    private static F4 Gained(LinearArgs args, int quad, F4 v)
    {
        F4 gain = LinearInput.Gain(args, LinearInput.GainBits(args, quad));
        v.X *= gain.X;
        v.Y *= gain.Y;
        v.Z *= gain.Z;
        v.W *= gain.W;
        return v;
    }

    private static float Squares(F4 v) => v.X * v.X + v.Y * v.Y + (v.Z * v.Z + v.W * v.W);

    private static float Largest(F4 v) => IntrinsicMath.Max(IntrinsicMath.Max(IntrinsicMath.Abs(v.X), IntrinsicMath.Abs(v.Y)), IntrinsicMath.Max(IntrinsicMath.Abs(v.Z), IntrinsicMath.Abs(v.W)));

    // The digits of columns 8 · oct to 8 · oct + 7: lane t of four has a quarter of a block.
    private static void Split<TCodec>(ArrayView<U4> memory, DigitMemory places, int oct, float factor, F4 first, F4 second)
        where TCodec : struct, IDigitCodec
    {
        int t = oct & 3, member = oct >> 2 & 1, pair = oct >> 3, shift = (1 - member) * TCodec.Shift;
        factor = Interop.IntAsFloat(Interop.FloatAsInt(factor) + ((uint)shift << 23));
        var near = Whole(first, factor);
        var far = Whole(second, factor);
        var low = Digits(near);
        var high = Digits(far);
        var target = memory.Cast<U2>();
        int at = (places.X + pair * 16 + t) * 2 + member, change = (pair & 1) * 8;
        target[at + change] = new U2 { X = low.X, Y = high.X };
        target[at + 8 - change] = new U2 { X = low.Y, Y = high.Y };
        target[at + 16 + change] = new U2 { X = low.Z, Y = high.Z };
        target[at + 24 - change] = new U2 { X = low.W, Y = high.W };
        if (TCodec.HasOffsets)
        {
            // of what the codes meet, in units of the lower ones
            int round = 1 << shift >> 1;
            int sum = (near.X + near.Y + (near.Z + near.W) + round >> shift) + (far.X + far.Y + (far.Z + far.W) + round >> shift);
            sum += Warp.ShuffleXor(sum, 1);
            sum += Warp.ShuffleXor(sum, 2);
            memory.Cast<byte>()[places.Sums * 16 + (oct >> 5) * 32 + t * 8 + (oct >> 2 & 7)] = (byte)(Balanced(sum) >> 8 * t);
        }
    }

    private static I4 Whole(F4 v, float factor)
    {
        I4 result;
        result.X = TensorCore.Nearest(v.X * factor);
        result.Y = TensorCore.Nearest(v.Y * factor);
        result.Z = TensorCore.Nearest(v.Z * factor);
        result.W = TensorCore.Nearest(v.W * factor);
        return result;
    }

    // Digit i, from -128 to 127, is byte i.
    private static uint Balanced(int value) => (uint)value + 0x80808080u ^ 0x80808080u;

    // The lowest digits of four numbers, the next ones, and so on.
    private static U4 Digits(I4 v)
    {
        uint x = Balanced(v.X), y = Balanced(v.Y), z = Balanced(v.Z), w = Balanced(v.W);
        uint left = LinearOps.Permute(x, y, 0x5140u), right = LinearOps.Permute(z, w, 0x5140u), leftHigh = LinearOps.Permute(x, y, 0x7362u), rightHigh = LinearOps.Permute(z, w, 0x7362u);
        U4 result;
        result.X = LinearOps.Permute(left, right, 0x5410u);
        result.Y = LinearOps.Permute(left, right, 0x7632u);
        result.Z = LinearOps.Permute(leftHigh, rightHigh, 0x5410u);
        result.W = LinearOps.Permute(leftHigh, rightHigh, 0x7632u);
        return result;
    }
}
