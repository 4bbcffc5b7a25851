using IlgpuSparse.Compute;

namespace IlgpuSparse.Tests.Reference;

/// <summary>What becomes of a number stored in the cache, by the runtime's own conversions.</summary>
internal static class KvRounding
{
    /// <summary>The number read back from <paramref name="format"/>.</summary>
    public static float Round(KvFormat format, float value) => format switch
    {
        KvFormat.F32 => value,
        KvFormat.F16 => (float)(Half)value,
        KvFormat.BF16 => BFloat(value),
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "no rounding of single elements"),
    };

    private static float BFloat(float value)
    {
        if (!float.IsFinite(value)) return value;
        // the two neighbours, and the one whose last bit is zero when they are equally far
        uint bits = BitConverter.SingleToUInt32Bits(value);
        float toZero = BitConverter.UInt32BitsToSingle(bits & 0xffff0000), away = BitConverter.UInt32BitsToSingle((bits & 0xffff0000) + 0x10000);
        double down = Math.Abs((double)value - toZero), up = Math.Abs((double)away - value);
        return down < up || (down == up && (bits & 0x10000) == 0) ? toZero : away;
    }
}
