using ILGPU;

namespace IlgpuSparse.Compute;

/// <summary>
/// Estimated attention weights as integers, so that sums do not depend on their order and every backend has the same: exp(τ·(score − maximum)) in units of 2^-30, relative error below 1e-4, without a fraction.
/// </summary>
/// <remarks>A score equal to the maximum weighs <see cref="One"/>, also an infinite one; what is not a number weighs nothing.</remarks>
internal static class TokenMass
{
    /// <summary>The weight of the highest score.</summary>
    public const uint One = 1u << 30;

    /// <summary>Scaled distances from here on weigh nothing.</summary>
    public const float Beyond = 31f * (1 << FractionBits);

    /// <summary>The bits of <see cref="Beyond"/>.</summary>
    public const uint BeyondBits = 0x4bf80000;

    /// <summary>Bits of a scaled distance behind the point.</summary>
    public const int FractionBits = 20;

    // 2^-x = 1 − C1·x + C2·x² − C3·x³ + C4·x⁴ for x in [0, 1), in units of 2^-16
    public const uint C1 = 45426, C2 = 15720, C3 = 3520, C4 = 458;

    /// <summary>What <see cref="Weight"/> takes distances times: log2(e) · <paramref name="temperature"/> in units of 2^-20.</summary>
    public static float Scale(float temperature) => (float)(temperature * 1.4426950408889634 * (1 << FractionBits));

    /// <summary>The weight of <paramref name="score"/> where the largest is <paramref name="maximum"/>. One rounding each for the difference and the product: the same on every machine.</summary>
    public static uint Weight(float score, float maximum, float scale)
    {
        float distance = (maximum - score) * scale;
        // two infinities have no difference
        if (score == maximum) distance = 0f;
        uint weight = 0;
        // Compared as bits: ILGPU's OpenCL turns "less" into "not greater or equal", which holds for what is not a number. No distance is negative.
        if (Interop.FloatAsInt(distance) < BeyondBits)
        {
            uint scaled = (uint)(int)distance, x = (scaled >> 4) & 0xffffu;
            uint power = 65536u - ((x * (C1 - ((x * (C2 - ((x * (C3 - ((x * C4) >> 16))) >> 16))) >> 16))) >> 16);
            weight = (power << 14) >> (int)(scaled >> FractionBits);
        }
        return weight;
    }

    /// <summary>The mass that <paramref name="share"/> (in 2^-16) of <paramref name="total"/> is, rounded up; with a share of 0 more than any set can have.</summary>
    public static ulong Target(ulong total, uint share) => share == 0u ? ulong.MaxValue : (total >> 16) * share + (((total & 0xffffu) * share + 0xffffu) >> 16);
}
