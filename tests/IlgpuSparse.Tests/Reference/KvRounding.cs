using IlgpuSparse.Compute;

namespace IlgpuSparse.Tests.Reference;

/// <summary>What becomes of a number stored in the cache, by the runtime's own conversions.</summary>
internal static class KvRounding
{
    /// <summary>What a row <c>[headDim]</c> reads back as from <paramref name="format"/>, in place.</summary>
    public static void Round(KvFormat format, Span<float> row)
    {
        float largest = 0;
        foreach (float x in row) largest = Math.Max(largest, Math.Abs(x));
        // as rounded in fp32: a code on the edge between two would be another one in double precision
        float scale = largest / 127f, inverse = scale > 0 ? 1 / scale : 0;
        for (int i = 0; i < row.Length; i++) row[i] = format == KvFormat.Int8 ? scale * MathF.Round(row[i] * inverse) : Round(format, row[i]);
    }

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
