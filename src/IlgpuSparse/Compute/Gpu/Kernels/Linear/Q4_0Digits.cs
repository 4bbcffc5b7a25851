using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>GGUF Q4_0, eight blocks of 18 bytes a half of a stage. Each code, less 8, becomes the upper half of a signed byte; sums of 32 of them times digits become floats, times their block's scale.</summary>
/// <remarks>Two blocks are nine words, which lie as those of <see cref="Q8_0Digits"/> do: the first is turned by two bytes, which are two columns of its first 16 and two of its last 16.</remarks>
internal readonly struct Q4_0Digits : IDigitCodec
{
    // words of half a row's stage
    private const int HalfWords = 36;

    public static int Units => 18;

    // as for Q8_0
    public static int Bits => 29;

    public static int Shift => 0;

    public static bool HasMinima => false;

    public static int Turn => 16;

    public static bool InFours => true;

    public static int Start(int stage) => stage * (2 * HalfWords);

    public static float Multiply<TDigits>(ArrayView<U4> memory, int at, int stage, StageDigits held, int x, int totals, int scales, int lane, float sum)
        where TDigits : struct, IStageDigits
    {
        int g = lane >> 2, t = lane & 3, half = t >> 1;
        var words = memory.Cast<uint>();
        int row = (at + g * Units) * 4, codes = row + t, own = row + half * HalfWords, even = StageDigits.Even(x, lane), odd = StageDigits.Odd(x, lane);
        // of the last lane's word of a turned block one half is what the block begins with
        uint last = t == 3 ? 0x7610u : 0x3210u;
        float products = 0f;
        for (int j = 0; j < 4; j++)
        {
            var digits = StageDigits.Columns<TDigits>(memory, held, j, even, odd);
            uint first = LinearOps.Load(ref words[row], 36 * j), second = LinearOps.Load(ref words[row], 36 * j + 4 * HalfWords);
            uint upper = LinearOps.Permute(LinearOps.Load(ref words[codes], 36 * j + 4), first, last), lower = LinearOps.Permute(LinearOps.Load(ref words[codes], 36 * j + 4 + 4 * HalfWords), second, last);
            var turned = TensorCore.MultiplySigned(Codes(upper, lower), new U2 { X = digits.X, Y = digits.Y }, default);
            upper = LinearOps.Load(ref words[codes], 36 * j + 20);
            lower = LinearOps.Load(ref words[codes], 36 * j + 20 + 4 * HalfWords);
            var straight = TensorCore.MultiplySigned(Codes(upper, lower), new U2 { X = digits.Z, Y = digits.W }, default);
            uint scale = (uint)RowDigitKernel.Own((int)first, (int)second, half), next = LinearOps.Load(ref words[own], 36 * j + 16);
            products += Ptx.HalfLow(scale) * (RowDigitKernel.Own(turned.X, turned.Z, half) + 256 * RowDigitKernel.Own(turned.Y, turned.W, half));
            products += Ptx.HalfHigh(next) * (RowDigitKernel.Own(straight.X, straight.Z, half) + 256 * RowDigitKernel.Own(straight.Y, straight.W, half));
        }
        return sum + StageDigits.Unit<TDigits>(memory, held, scales, half) * (products * 0.0625f);
    }

    // Sixteen times the codes less 8: of low nibbles, the first 16 columns, and of high ones.
    private static U4 Codes(uint upper, uint lower)
    {
        U4 result;
        result.X = upper << 4 & 0xf0f0f0f0u ^ 0x80808080u;
        result.Y = lower << 4 & 0xf0f0f0f0u ^ 0x80808080u;
        result.Z = upper & 0xf0f0f0f0u ^ 0x80808080u;
        result.W = lower & 0xf0f0f0f0u ^ 0x80808080u;
        return result;
    }
}
