using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Scores as unsigned integers in the same order: what is selected by counting bits. 0 stands for a token that is not visible, the largest for one that is always in.</summary>
internal static class SortableKey
{
    /// <summary>Bits of a key that the first histogram tells apart: sign, exponent and three of the mantissa.</summary>
    public const int TopBits = 12;

    /// <summary>Bins of the first histogram.</summary>
    public const int TopBins = 1 << TopBits;

    /// <summary>Bins of a group in the first histogram, and groups: counted too, so that a search reads two times 64 counts.</summary>
    public const int GroupBins = 64;

    /// <summary>Counts of the first histogram of a set: the bins, then the groups.</summary>
    public const int TopCounts = TopBins + GroupBins;

    /// <summary>Bins of the two that follow, of ten bits each.</summary>
    public const int LowBins = 1 << 10;

    /// <summary>Bits below the first histogram's.</summary>
    public const int LowBits = 32 - TopBits;

    /// <summary>The key of a token that is always in.</summary>
    public const uint Forced = uint.MaxValue;

    /// <summary>The key of <paramref name="score"/>, between the two special ones; what is not a number comes after everything else.</summary>
    public static uint Of(float score)
    {
        uint bits = Interop.FloatAsInt(score);
        // the two zeros are equal
        if (bits == 0x80000000u) bits = 0u;
        uint key = bits ^ ((uint)((int)bits >> 31) | 0x80000000u);
        return (bits & 0x7fffffffu) > 0x7f800000u ? 1u : key;
    }

    /// <summary>The score of a key that <see cref="Of"/> gave.</summary>
    public static float Score(uint key)
    {
        uint negative = (uint)((int)~key >> 31);
        return Interop.IntAsFloat(key ^ (negative | 0x80000000u));
    }

    /// <summary>The histogram's bin, highest keys first.</summary>
    public static int TopBin(uint key) => TopBins - 1 - (int)(key >> LowBits);

    /// <summary>Bin of the ten bits from <paramref name="shift"/>, highest first.</summary>
    public static int LowBin(uint key, int shift) => LowBins - 1 - (int)((key >> shift) & (LowBins - 1));
}
