using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>GGUF Q8_0, eight blocks of 34 bytes a half of a stage. Codes are signed bytes, as the matrix instructions want them; sums of 32 of them times digits become floats, times their block's scale.</summary>
/// <remarks>
/// Two blocks are 17 words. The first begins with its scale and two codes in one word, and ends with two codes beside the next one's scale: turned by two columns, whole words of codes follow each other, and the last one is
/// put together from these two. The second block's codes are whole words.
/// </remarks>
internal readonly struct Q8_0Digits : IDigitCodec
{
    // words of half a row's stage
    private const int HalfWords = 68;

    public static int Units => 34;

    // sums of 32 products of two bytes have 20 bits, and those of two digits 28; digits of -128 to 127 have room for integers of 30 bits
    public static int Bits => 29;

    public static int Shift => 0;

    public static bool HasMinima => false;

    public static int Turn => 32;

    public static bool InFours => false;

    public static int Start(int stage) => stage * (2 * HalfWords);

    public static float Multiply<TDigits>(ArrayView<U4> memory, int at, int stage, StageDigits held, int x, int totals, int scales, int lane, float sum)
        where TDigits : struct, IStageDigits
    {
        int g = lane >> 2, t = lane & 3, half = t >> 1;
        var words = memory.Cast<uint>();
        var pairs = memory.Cast<U2>();
        int row = (at + g * Units) * 4, codes = row + 2 * t, own = row + half * HalfWords, even = StageDigits.Even(x, lane), odd = StageDigits.Odd(x, lane);
        // of the last lane's second word of a turned block one half is what the block begins with
        uint last = t == 3 ? 0x7610u : 0x3210u;
        float products = 0f;
        for (int j = 0; j < 4; j++)
        {
            var digits = StageDigits.Columns<TDigits>(memory, held, j, even, odd);
            uint first = LinearOps.Load(ref words[row], 68 * j), second = LinearOps.Load(ref words[row], 68 * j + 4 * HalfWords);
            U4 turned = Codes(words, pairs, codes, j, 1), straight = Codes(words, pairs, codes, j, 9);
            turned.Z = LinearOps.Permute(turned.Z, first, last);
            turned.W = LinearOps.Permute(turned.W, second, last);
            var lower = TensorCore.MultiplySigned(turned, new U2 { X = digits.X, Y = digits.Y }, default);
            var higher = TensorCore.MultiplySigned(straight, new U2 { X = digits.Z, Y = digits.W }, default);
            uint scale = (uint)RowDigitKernel.Own((int)first, (int)second, half), next = LinearOps.Load(ref words[own], 68 * j + 32);
            products += Ptx.HalfLow(scale) * (RowDigitKernel.Own(lower.X, lower.Z, half) + 256 * RowDigitKernel.Own(lower.Y, lower.W, half));
            products += Ptx.HalfHigh(next) * (RowDigitKernel.Own(higher.X, higher.Z, half) + 256 * RowDigitKernel.Own(higher.Y, higher.W, half));
        }
        return sum + StageDigits.Unit<TDigits>(memory, held, scales, half) * products;
    }

    // Eight of a block's codes of either half, whose first word is number `first` of the 17 of two blocks: at once where that is a multiple of eight bytes.
    private static U4 Codes(ArrayView<uint> words, ArrayView<U2> pairs, int codes, int j, int first)
    {
        int distance = 4 * (17 * j + first);
        U4 result;
        if ((17 * j + first & 1) == 0)
        {
            U2 a = LinearOps.Load(ref pairs[codes >> 1], distance), b = LinearOps.Load(ref pairs[codes >> 1], distance + 4 * HalfWords);
            result.X = a.X;
            result.Y = b.X;
            result.Z = a.Y;
            result.W = b.Y;
        }
        else
        {
            result.X = LinearOps.Load(ref words[codes], distance);
            result.Y = LinearOps.Load(ref words[codes], distance + 4 * HalfWords);
            result.Z = LinearOps.Load(ref words[codes], distance + 4);
            result.W = LinearOps.Load(ref words[codes], distance + 4 * HalfWords + 4);
        }
        return result;
    }
}
