using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>GGUF Q4_K, a super-block a half of a stage.</summary>
/// <remarks>
/// Codes are not taken out of their bytes: the low nibbles meet activations that are 16 times as high as those of the high ones. Scales of six bits multiply the integer sums, all minima
/// meet the digits of the blocks' sums in one more matrix instruction, and only two numbers a lane become floats.
/// </remarks>
internal readonly struct Q4_KDigits : IDigitCodec
{
    /// <summary>16-byte units of a row's stage: eight bytes a lane are then read without two lanes wanting the same bank.</summary>
    public const int RowUnits = 18;

    public static int Units => RowUnits;

    // sums of 32 have to be below 2^30, and sums of eight blocks' products are below 2^29 (8 · 63 · 32 · 240 · 128)
    public static int Bits => 24;

    // the codes of a first block are so much lower in their bytes
    public static int Shift => 4;

    public static bool HasMinima => true;

    public static int Turn => 0;

    public static bool InFours => false;

    public static int Start(int stage) => stage * (4 * Units);

    public static float Multiply<TDigits>(ArrayView<U4> memory, int at, int stage, StageDigits held, int x, int totals, int scales, int lane, float sum)
        where TDigits : struct, IStageDigits
    {
        int g = lane >> 2, t = lane & 3, half = t >> 1;
        var pairs = memory.Cast<U2>();
        int row = at + g * Units, own = row * 2 + t, even = StageDigits.Even(x, lane), odd = StageDigits.Odd(x, lane);
        // the lane's own half's: scales and minima of six bits, whole for the first four blocks, for the last four in parts
        var header = LinearOps.Load(ref memory[row + half * (Units / 2)], 0);
        uint lowScales = header.Y & 0x3f3f3f3fu, highScales = header.W & 0x0f0f0f0fu | header.Y >> 2 & 0x30303030u;
        uint lowMinima = header.Z & 0x3f3f3f3fu, highMinima = header.W >> 4 & 0x0f0f0f0fu | header.Z >> 2 & 0x30303030u;
        I4 sums = default;
        for (int j = 0; j < 4; j++)
        {
            U2 a = LinearOps.Load(ref pairs[own], 16 + 32 * j), b = LinearOps.Load(ref pairs[own], 160 + 32 * j);
            var digits = StageDigits.Columns<TDigits>(memory, held, j, even, odd);
            U4 low, high;
            low.X = a.X & 0x0f0f0f0fu;
            low.Y = b.X & 0x0f0f0f0fu;
            low.Z = a.Y & 0x0f0f0f0fu;
            low.W = b.Y & 0x0f0f0f0fu;
            high.X = a.X & 0xf0f0f0f0u;
            high.Y = b.X & 0xf0f0f0f0u;
            high.Z = a.Y & 0xf0f0f0f0u;
            high.W = b.Y & 0xf0f0f0f0u;
            var lower = TensorCore.Multiply(low, new U2 { X = digits.X, Y = digits.Y }, default);
            var higher = TensorCore.Multiply(high, new U2 { X = digits.Z, Y = digits.W }, default);
            uint steps = j < 2 ? lowScales : highScales;
            int lowerScale = (int)LinearOps.Permute(steps, 0u, (j & 1) == 0 ? 0x4440u : 0x4442u), higherScale = (int)LinearOps.Permute(steps, 0u, (j & 1) == 0 ? 0x4441u : 0x4443u);
            sums.X += lowerScale * lower.X + higherScale * higher.X;
            sums.Y += lowerScale * lower.Y + higherScale * higher.Y;
            sums.Z += lowerScale * lower.Z + higherScale * higher.Z;
            sums.W += lowerScale * lower.W + higherScale * higher.W;
        }
        var blockSums = held.Totals;
        if (!TDigits.AreHeld) blockSums = StageDigits.LoadTotals(memory, totals, lane);
        var minima = TensorCore.Multiply(new U4 { X = lowMinima, Y = lowMinima, Z = highMinima, W = highMinima }, blockSums, default);
        float products = RowDigitKernel.Own(sums.X, sums.Z, half) + 256f * RowDigitKernel.Own(sums.Y, sums.W, half);
        float offsets = RowDigitKernel.Own(minima.X, minima.Z, half) + 256f * RowDigitKernel.Own(minima.Y, minima.W, half);
        return sum + StageDigits.Unit<TDigits>(memory, held, scales, half) * (Ptx.HalfLow(header.X) * 0.0625f * products - Ptx.HalfHigh(header.X) * offsets);
    }
}
