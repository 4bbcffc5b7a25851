using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// How a warp multiplies a stage of eight weight rows in GGUF Q4_K in shared memory, as stored, with the digits of a single row of activations (<see cref="DigitInput"/>). Rows g of one operand of the integer matrix
/// instructions are weight rows over the first half of the stage's columns, a super-block, rows g + 8 the same weight rows over the second half; columns 0 to 3 of the other are the four digits of the first half's
/// activations, 4 to 7 those of the second half's. So what counts of the result lies in X and Y of lanes 0 and 1 of four, and in Z and W of lanes 2 and 3.
/// </summary>
/// <remarks>
/// Codes are not taken out of their bytes: the low nibbles meet activations that are 16 times as high as those of the high ones. Scales of six bits multiply the integer sums, all minima
/// meet the digits of the blocks' sums in one more matrix instruction, and only two numbers a lane become floats.
/// </remarks>
internal static class Q4_KDigits
{
    /// <summary>16-byte units of a row's stage: eight bytes a lane are then read without two lanes wanting the same bank.</summary>
    public const int Units = 18;

    /// <summary>Columns of a row's stage / 8.</summary>
    public const int Octs = 64;

    /// <summary>
    /// The largest activation becomes an integer of 2^Bits to 2^(Bits + 1): sums of 32 have to be below 2^30, and sums of eight blocks' products are below 2^29 (8 · 63 · 32 · 240 · 128).
    /// </summary>
    public const int Bits = 24;

    /// <summary>How many bits higher the activations of every first block of 32 of two are, whose codes are so much lower in their bytes.</summary>
    public const int Shift = 4;

    /// <summary>Stages of a row.</summary>
    public static int RowStages(int columns) => (columns / 8 + Octs - 1) / Octs;

    /// <summary>
    /// Adds the lane's part of a stage's products to <paramref name="sum"/>, in units of the lower of its two digits. <paramref name="at"/> is where the stage's part of the ring begins; the activations' digits are
    /// <paramref name="held"/>, or are loaded when it is their turn (all before, they take longer) from <paramref name="x"/> on, their sums from <paramref name="totals"/> and their scales from <paramref name="scales"/> on, as <see cref="StageDigits.Load"/> does.
    /// </summary>
    public static float Multiply<TDigits>(ArrayView<U4> memory, int at, StageDigits held, int x, int totals, int scales, int lane, float sum)
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
            var digits = j == 0 ? held.First : j == 1 ? held.Second : j == 2 ? held.Third : held.Fourth;
            if (!TDigits.AreHeld) digits = LinearOps.Load(ref memory[(j & 1) == 0 ? even : odd], 256 * j);
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
        float scale = held.Scale;
        if (!TDigits.AreHeld) scale = memory.Cast<float>()[scales + half];
        return sum + scale * (Ptx.HalfLow(header.X) * 0.0625f * products - Ptx.HalfHigh(header.X) * offsets);
    }
}
