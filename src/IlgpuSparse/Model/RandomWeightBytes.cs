using System.Buffers.Binary;

namespace IlgpuSparse.Model;

/// <summary>Weights as models have them, for benchmarks: a normal distribution of 0.02, or random codes with an ordinary scale.</summary>
internal static class RandomWeightBytes
{
    /// <summary>The stored bytes of <paramref name="count"/> numbers, whole blocks of <paramref name="format"/>.</summary>
    public static byte[] Create(Random random, WeightFormat format, int count)
    {
        byte[] bytes = new byte[format.ByteLength(count)];
        random.NextBytes(bytes);
        int size = format.BlockBytes();
        for (int at = 0; at < bytes.Length; at += size)
        {
            var block = bytes.AsSpan(at, size);
            float value = (float)(0.02 * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
            switch (format)
            {
                case WeightFormat.F32: BinaryPrimitives.WriteSingleLittleEndian(block, value); break;
                case WeightFormat.F16: BinaryPrimitives.WriteHalfLittleEndian(block, (Half)value); break;
                case WeightFormat.BF16: BinaryPrimitives.WriteUInt16LittleEndian(block, (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)); break;
                case WeightFormat.Q6_K: BinaryPrimitives.WriteHalfLittleEndian(block[208..], (Half)1e-3f); break;
                default:
                    // a scale and, where there is one, a minimum; where there is none these are codes
                    BinaryPrimitives.WriteHalfLittleEndian(block, (Half)1e-3f);
                    if (format is WeightFormat.Q4_1 or WeightFormat.Q4_K or WeightFormat.Q5_K) BinaryPrimitives.WriteHalfLittleEndian(block[2..], (Half)1e-3f);
                    break;
            }
        }
        return bytes;
    }
}
