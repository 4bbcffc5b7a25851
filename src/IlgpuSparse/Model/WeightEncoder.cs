using System.Buffers.Binary;

namespace IlgpuSparse.Model;

/// <summary>Numbers into the stored formats: by the largest number of a block for the symmetric ones, by smallest and largest for those with a minimum. For random weights; it seeks no better scales.</summary>
internal static class WeightEncoder
{
    /// <summary>Encodes <paramref name="values"/>, whole blocks, into <paramref name="target"/>.</summary>
    /// <exception cref="NotSupportedException">A format that nothing here writes.</exception>
    public static void Encode(WeightFormat format, ReadOnlySpan<float> values, Span<byte> target)
    {
        int block = format.BlockElements(), size = format.BlockBytes();
        for (int i = 0; i < values.Length / block; i++) EncodeBlock(format, values.Slice(i * block, block), target.Slice(i * size, size));
    }

    private static void EncodeBlock(WeightFormat format, ReadOnlySpan<float> values, Span<byte> target)
    {
        switch (format)
        {
            case WeightFormat.F32: BinaryPrimitives.WriteSingleLittleEndian(target, values[0]); break;
            case WeightFormat.F16: BinaryPrimitives.WriteHalfLittleEndian(target, (Half)values[0]); break;
            case WeightFormat.BF16:
                uint bits = BitConverter.SingleToUInt32Bits(values[0]);
                BinaryPrimitives.WriteUInt16LittleEndian(target, (ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16));
                break;
            case WeightFormat.Q8_0: EncodeQ8_0(values, target); break;
            case WeightFormat.Q4_0: EncodeQ4_0(values, target); break;
            case WeightFormat.Q4_K: EncodeQ4_K(values, target); break;
            case WeightFormat.Q6_K: EncodeQ6_K(values, target); break;
            default: throw new NotSupportedException($"random weights are not made in {format}: choose F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K");
        }
    }

    private static void EncodeQ8_0(ReadOnlySpan<float> values, Span<byte> target)
    {
        float scale = SetScale(target, Largest(values) / 127);
        for (int i = 0; i < 32; i++) target[2 + i] = (byte)(sbyte)Code(values[i], scale, -127, 127);
    }

    private static void EncodeQ4_0(ReadOnlySpan<float> values, Span<byte> target)
    {
        float scale = SetScale(target, Largest(values) / 7);
        for (int i = 0; i < 16; i++) target[2 + i] = (byte)(Code(values[i], scale, -8, 7) + 8 | (Code(values[i + 16], scale, -8, 7) + 8) << 4);
    }

    private static void EncodeQ4_K(ReadOnlySpan<float> values, Span<byte> target)
    {
        Span<float> steps = stackalloc float[8], offsets = stackalloc float[8];
        for (int b = 0; b < 8; b++)
        {
            var (low, high) = Range(values.Slice(32 * b, 32));
            offsets[b] = Math.Max(0, -low);
            steps[b] = (high + offsets[b]) / 15;
        }
        float step = SetScale(target, Largest(steps) / 63), offset = SetScale(target[2..], Largest(offsets) / 63);
        target.Slice(4, 140).Clear();
        for (int b = 0; b < 8; b++)
        {
            int scale = Code(steps[b], step, 0, 63), minimum = Code(offsets[b], offset, 0, 63);
            // six bits each: the first four in the low bits of eight bytes, the last four in four bytes of nibbles with their top bits above the first
            if (b < 4)
            {
                target[4 + b] |= (byte)scale;
                target[8 + b] |= (byte)minimum;
            }
            else
            {
                target[8 + b] = (byte)(scale & 15 | (minimum & 15) << 4);
                target[b] |= (byte)(scale >> 4 << 6);
                target[4 + b] |= (byte)(minimum >> 4 << 6);
            }
            for (int i = 0; i < 32; i++)
                target[16 + b / 2 * 32 + i] |= (byte)(Code(values[32 * b + i] + offset * minimum, step * scale, 0, 15) << b % 2 * 4);
        }
    }

    private static void EncodeQ6_K(ReadOnlySpan<float> values, Span<byte> target)
    {
        Span<float> largest = stackalloc float[16];
        for (int b = 0; b < 16; b++) largest[b] = Largest(values.Slice(16 * b, 16));
        float scale = SetScale(target[208..], Largest(largest) / 31 / 127);
        target[..208].Clear();
        for (int i = 0; i < 256; i++)
        {
            int b = i / 16, blockScale = Code(largest[b] / 31, scale, 0, 127), code = Code(values[i], scale * blockScale, -32, 31) + 32;
            target[192 + b] = (byte)blockScale;
            int half = i / 128, quarter = i % 128 / 32, at = i % 32;
            target[half * 64 + quarter % 2 * 32 + at] |= (byte)((code & 15) << quarter / 2 * 4);
            target[128 + half * 32 + at] |= (byte)(code >> 4 << 2 * quarter);
        }
    }

    private static float Largest(ReadOnlySpan<float> values)
    {
        float largest = 0;
        foreach (float value in values) largest = Math.Max(largest, Math.Abs(value));
        return largest;
    }

    private static (float Low, float High) Range(ReadOnlySpan<float> values)
    {
        float low = values[0], high = values[0];
        foreach (float value in values) (low, high) = (Math.Min(low, value), Math.Max(high, value));
        return (low, high);
    }

    // The scale as stored.
    private static float SetScale(Span<byte> target, float scale)
    {
        BinaryPrimitives.WriteHalfLittleEndian(target, (Half)scale);
        return (float)(Half)scale;
    }

    private static int Code(float value, float scale, int low, int high) => scale > 0 ? Math.Clamp((int)MathF.Round(value / scale), low, high) : 0;
}
