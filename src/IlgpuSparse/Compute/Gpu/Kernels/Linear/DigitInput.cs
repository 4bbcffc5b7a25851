using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// Activations as columns of an integer matrix: each number, scaled by a power of two of its 256 columns and rounded to an integer of <see cref="IDigitCodec.Bits"/> bits and more, is four
/// balanced digits, bytes of -128 to 127.
/// </summary>
internal readonly struct DigitInput<TCodec> : IInputForm
    where TCodec : struct, IDigitCodec
{
    public static void Split(ArrayView<U4> memory, int x, int scales, int sums, int piece, int lane, F4 a, F4 b, F4 c, F4 d)
    {
        uint largest = InputParts.Largest(a, b), nextLargest = InputParts.Largest(c, d);
        Split(memory, x, scales, sums, piece, lane, a, b, largest);
        Split(memory, x, scales, sums, piece + 1, lane, c, d, nextLargest);
    }

    // The digits of 256 columns, eight a lane: lane t of four has a quarter of a block of 32.
    private static void Split(ArrayView<U4> memory, int x, int scales, int sums, int piece, int lane, F4 first, F4 second, uint largest)
    {
        // the largest number becomes one of 2^Bits to 2^(Bits + 1), and 2^Shift times as much where that is wanted
        int exponent = IntrinsicMath.Min(254 + TCodec.Bits - (int)(largest >> 23), 253 - TCodec.Shift);
        int t = lane & 3, member = lane >> 2 & 1, odd = lane >> 3 & 1, shift = (1 - member) * TCodec.Shift;
        if (TCodec.Turn != 0)
        {
            // the lane with the columns that follow, the first ones behind the last
            int beside = TCodec.Turn == 32 ? lane & 28 | lane + 1 & 3 : lane ^ 1;
            float nextX = Warp.Shuffle(first.X, beside), nextY = Warp.Shuffle(first.Y, beside);
            if (member == 0)
            {
                first = new F4 { X = first.Z, Y = first.W, Z = second.X, W = second.Y };
                second = new F4 { X = second.Z, Y = second.W, Z = nextX, W = nextY };
            }
        }
        float factor = Interop.IntAsFloat((uint)(exponent + shift) << 23);
        var near = Whole(first, factor);
        var far = Whole(second, factor);
        var low = Digits(near);
        var high = Digits(far);
        if (TCodec.InFours)
        {
            // those of the lane's first and second four columns go to lanes beside each other
            var words = memory.Cast<uint>();
            int at = (x + piece * 64 + (lane >> 3) * 16 + (t & 1) * 2) * 4 + member * 2 + (t >> 1), turn = odd * 16;
            words[at + turn] = low.X;
            words[at + turn + 4] = high.X;
            words[at + 16 - turn] = low.Y;
            words[at + 20 - turn] = high.Y;
            words[at + 32 + turn] = low.Z;
            words[at + 36 + turn] = high.Z;
            words[at + 48 - turn] = low.W;
            words[at + 52 - turn] = high.W;
        }
        else
        {
            var target = memory.Cast<U2>();
            int at = (x + piece * 64 + (lane >> 3) * 16 + t) * 2 + member;
            target[at + odd * 8] = new U2 { X = low.X, Y = high.X };
            target[at + 8 - odd * 8] = new U2 { X = low.Y, Y = high.Y };
            target[at + 16 + odd * 8] = new U2 { X = low.Z, Y = high.Z };
            target[at + 24 - odd * 8] = new U2 { X = low.W, Y = high.W };
        }
        // integers know no infinity and nothing that is no number: the scale does
        if (lane == 0) memory.Cast<float>()[scales * 4 + piece] = largest < 0x7f800000u ? Interop.IntAsFloat((uint)(254 - exponent) << 23) : float.NaN;
        if (TCodec.HasMinima)
        {
            // the sum of what the codes meet, in units of the lower ones
            int round = 1 << shift >> 1;
            int sum = (near.X + near.Y + (near.Z + near.W) + round >> shift) + (far.X + far.Y + (far.Z + far.W) + round >> shift);
            sum += Warp.ShuffleXor(sum, 1);
            sum += Warp.ShuffleXor(sum, 2);
            memory.Cast<byte>()[sums * 16 + piece * 32 + t * 8 + (lane >> 2)] = (byte)(Balanced(sum) >> 8 * t);
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
