using System.Buffers.Binary;
using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Compute;

/// <summary>
/// A random matrix in a stored format with its values in double, decoded number by number from the layout's definition: random code bytes, scales of a sane size,
/// so that every code and every scale bit occurs.
/// </summary>
internal sealed class RandomWeights
{
    public RandomWeights(Random random, WeightFormat format, int rows, int columns)
    {
        Format = format;
        Rows = rows;
        Columns = columns;
        Bytes = new byte[format.ByteLength((long)rows * columns)];
        Values = new double[rows * columns];
        random.NextBytes(Bytes);
        int block = format.BlockElements(), size = format.BlockBytes();
        for (int b = 0; b < Values.Length / block; b++)
        {
            var bytes = Bytes.AsSpan(b * size, size);
            var values = Values.AsSpan(b * block, block);
            SetScales(random, format, bytes);
            Decode(format, bytes, values);
        }
    }

    public static TheoryData<WeightFormat> Formats => [.. Enum.GetValues<WeightFormat>()];

    public WeightFormat Format { get; }
    public int Rows { get; }
    public int Columns { get; }
    public byte[] Bytes { get; }
    public double[] Values { get; }

    /// <summary>As a matrix that ends exactly where its memory does.</summary>
    public WeightMatrix Load(ComputeBackend backend)
    {
        var buffer = backend.Allocate(Bytes.Length, "weights");
        buffer.Upload(Bytes);
        return new WeightMatrix($"random.{Format}", Format, Rows, Columns, buffer);
    }

    /// <summary>A column count that the format allows, near <paramref name="wanted"/> and odd where it may be.</summary>
    public static int ColumnsFor(WeightFormat format, int wanted)
    {
        int block = format.BlockElements();
        return block == 1 ? wanted | 1 : Math.Max(1, (wanted + block / 2) / block) * block;
    }

    private static void SetScales(Random random, WeightFormat format, Span<byte> block)
    {
        switch (format)
        {
            case WeightFormat.F32: BinaryPrimitives.WriteSingleLittleEndian(block, Normal(random)); break;
            case WeightFormat.F16: SetHalf(block, random.Next(8) == 0 ? Normal(random) * 3e-5f : Normal(random)); break; // some subnormals
            case WeightFormat.BF16: BinaryPrimitives.WriteUInt16LittleEndian(block, (ushort)(BitConverter.SingleToUInt32Bits(Normal(random)) >> 16)); break;
            case WeightFormat.Q8_0: SetHalf(block, Normal(random) / 100); break;
            case WeightFormat.Q4_0: SetHalf(block, Normal(random) / 8); break;
            case WeightFormat.Q4_1: SetHalf(block, Normal(random) / 8); SetHalf(block[2..], Normal(random)); break;
            case WeightFormat.Q4_K: SetHalf(block, Normal(random) / 500); SetHalf(block[2..], Normal(random) / 50); break;
            case WeightFormat.Q5_K: SetHalf(block, Normal(random) / 1000); SetHalf(block[2..], Normal(random) / 50); break;
            case WeightFormat.Q6_K: SetHalf(block[208..], Normal(random) / 2000); break;
        }
    }

    /// <summary>The numbers of one block, by the definition of its format.</summary>
    public static void Decode(WeightFormat format, ReadOnlySpan<byte> block, Span<double> values)
    {
        switch (format)
        {
            case WeightFormat.F32: values[0] = BinaryPrimitives.ReadSingleLittleEndian(block); break;
            case WeightFormat.F16: values[0] = Half(block); break;
            case WeightFormat.BF16: values[0] = BitConverter.UInt32BitsToSingle((uint)BinaryPrimitives.ReadUInt16LittleEndian(block) << 16); break;
            case WeightFormat.Q8_0:
                for (int i = 0; i < 32; i++) values[i] = Half(block) * (sbyte)block[2 + i];
                break;
            case WeightFormat.Q4_0:
                for (int i = 0; i < 32; i++) values[i] = Half(block) * (Nibble(block[2..], i, 16) - 8);
                break;
            case WeightFormat.Q4_1:
                for (int i = 0; i < 32; i++) values[i] = Half(block) * Nibble(block[4..], i, 16) + Half(block[2..]);
                break;
            case WeightFormat.Q4_K:
            case WeightFormat.Q5_K:
                for (int i = 0; i < 256; i++)
                {
                    int part = i / 32;
                    var (scale, minimum) = SixBits(block[4..16], part);
                    bool five = format == WeightFormat.Q5_K;
                    var codes = block[(five ? 48 : 16)..].Slice(part / 2 * 32, 32);
                    int code = part % 2 == 0 ? codes[i % 32] & 15 : codes[i % 32] >> 4;
                    if (five) code += (block[16 + i % 32] >> part & 1) * 16;
                    values[i] = Half(block) * scale * code - Half(block[2..]) * minimum;
                }
                break;
            case WeightFormat.Q6_K:
                for (int i = 0; i < 256; i++)
                {
                    int half = i / 128, quarter = i % 128 / 32, at = i % 32;
                    int nibbles = block[half * 64 + quarter % 2 * 32 + at];
                    int low = quarter < 2 ? nibbles & 15 : nibbles >> 4, top = block[128 + half * 32 + at] >> 2 * quarter & 3;
                    values[i] = Half(block[208..]) * (sbyte)block[192 + i / 16] * ((low | top << 4) - 32);
                }
                break;
        }
    }

    // llama.cpp's get_scale_min_k4.
    private static (int Scale, int Minimum) SixBits(ReadOnlySpan<byte> q, int j) => j < 4
        ? (q[j] & 63, q[j + 4] & 63)
        : (q[j + 4] & 15 | q[j - 4] >> 6 << 4, q[j + 4] >> 4 | q[j] >> 6 << 4);

    private static int Nibble(ReadOnlySpan<byte> codes, int i, int half) => i < half ? codes[i] & 15 : codes[i - half] >> 4;

    private static double Half(ReadOnlySpan<byte> bytes) => (double)BinaryPrimitives.ReadHalfLittleEndian(bytes);

    private static void SetHalf(Span<byte> bytes, float value) => BinaryPrimitives.WriteHalfLittleEndian(bytes, (Half)value);

    /// <summary>A normally distributed number.</summary>
    public static float Normal(Random random) =>
        (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));

    /// <summary>Normally distributed numbers.</summary>
    public static float[] Normals(Random random, int count)
    {
        var result = new float[count];
        for (int i = 0; i < count; i++) result[i] = Normal(random);
        return result;
    }
}
