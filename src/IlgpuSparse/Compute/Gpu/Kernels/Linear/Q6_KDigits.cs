using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>GGUF Q6_K, a super-block of 210 bytes a half of a stage. Each code, less 32, becomes the upper part of a signed byte; sums of 16 of them times digits are multiplied by their scales, signed bytes, as integers, and two numbers a lane become floats.</summary>
/// <remarks>
/// The second half begins in the middle of a word. A stage is 420 bytes of a row, which do not begin at a multiple of 16: 432 are copied, from such a multiple on, of which the first up to three words are the stage's before. And so rows in shared memory lie in banks of their own.
/// </remarks>
internal readonly struct Q6_KDigits : IDigitCodec
{
    // words of a row's stage
    private const int Words = 105;

    public static int Units => 27;

    // sums of 16 products of two bytes have 19 bits, those of 16 of them times a byte 30; digits of -128 to 127 have room for integers of 30 bits
    public static int Bits => 29;

    public static int Shift => 0;

    public static bool HasMinima => false;

    public static int Turn => 0;

    public static bool InFours => true;

    public static int Start(int stage) => stage * Words & ~3;

    public static float Multiply<TDigits>(ArrayView<U4> memory, int at, int stage, StageDigits held, int x, int totals, int scales, int lane, float sum)
        where TDigits : struct, IStageDigits
    {
        int g = lane >> 2, t = lane & 3, half = t >> 1;
        var words = memory.Cast<uint>();
        int row = (at + g * Units) * 4 + (stage * Words & 3), codes = row + t, even = StageDigits.Even(x, lane), odd = StageDigits.Odd(x, lane);
        // the lane's own half's scales, and what they are multiples of behind them
        int own = row + 48 + half * 52;
        uint aligned = half == 0 ? 0x3210u : 0x5432u;
        U4 steps = default;
        uint end = LinearOps.Load(ref words[own], 16);
        steps.X = LinearOps.Load(ref words[own], 0);
        steps.Y = LinearOps.Load(ref words[own], 4);
        steps.Z = LinearOps.Load(ref words[own], 8);
        steps.W = LinearOps.Load(ref words[own], 12);
        steps.X = LinearOps.Permute(steps.X, steps.Y, aligned);
        steps.Y = LinearOps.Permute(steps.Y, steps.Z, aligned);
        steps.Z = LinearOps.Permute(steps.Z, steps.W, aligned);
        steps.W = LinearOps.Permute(steps.W, end, aligned);
        int low = 0, high = 0;
        for (int n = 0; n < 2; n++)
        {
            U4 digits = StageDigits.Columns<TDigits>(memory, held, 2 * n, even, odd), next = StageDigits.Columns<TDigits>(memory, held, 2 * n + 1, even, odd);
            // a byte for each 16 columns of 128
            uint left = n == 0 ? steps.X : steps.Z, right = n == 0 ? steps.Y : steps.W;
            for (int s = 0; s < 2; s++)
            {
                // columns 16 s to 16 s + 15 of each 32
                U4 first = Codes(LinearOps.Load(ref words[codes], 64 * n + 16 * s), LinearOps.Load(ref words[codes], 64 * n + 16 * s + 32), LinearOps.Load(ref words[codes], 128 + 32 * n + 16 * s));
                U4 second = Codes(Middle(words, codes, 208 + 64 * n + 16 * s), Middle(words, codes, 208 + 64 * n + 16 * s + 32), Middle(words, codes, 336 + 32 * n + 16 * s));
                for (int k = 0; k < 4; k++)
                {
                    U4 columns = k < 2 ? digits : next;
                    uint upper = k == 0 ? first.X : k == 1 ? first.Y : k == 2 ? first.Z : first.W, lower = k == 0 ? second.X : k == 1 ? second.Y : k == 2 ? second.Z : second.W;
                    var products = TensorCore.MultiplySigned(new U2 { X = upper, Y = lower }, (k & 1) == 0 ? s == 0 ? columns.X : columns.Y : s == 0 ? columns.Z : columns.W, default);
                    int scale = (int)((k < 2 ? left : right) << 24 - 8 * s - 16 * (k & 1)) >> 24;
                    low += scale * RowDigitKernel.Own(products.X, products.Z, half);
                    high += scale * RowDigitKernel.Own(products.Y, products.W, half);
                }
            }
        }
        return sum + StageDigits.Unit<TDigits>(memory, held, scales, half) * (Ptx.HalfLow(end >> 16 * half) * 0.25f * (low + 256f * high));
    }

    // Four times the codes less 32, of columns 32 apart: four bits of each in the one or the other word, two in the last.
    private static U4 Codes(uint near, uint far, uint upper)
    {
        U4 result;
        result.X = (near << 2 & 0x3c3c3c3cu | upper << 6 & 0xc0c0c0c0u) ^ 0x80808080u;
        result.Y = (far << 2 & 0x3c3c3c3cu | upper << 4 & 0xc0c0c0c0u) ^ 0x80808080u;
        result.Z = (near >> 2 & 0x3c3c3c3cu | upper << 2 & 0xc0c0c0c0u) ^ 0x80808080u;
        result.W = (far >> 2 & 0x3c3c3c3cu | upper & 0xc0c0c0c0u) ^ 0x80808080u;
        return result;
    }

    // Four bytes from the middle of a word on.
    private static uint Middle(ArrayView<uint> words, int codes, int distance) => LinearOps.Permute(LinearOps.Load(ref words[codes], distance), LinearOps.Load(ref words[codes], distance + 4), 0x5432u);
}
