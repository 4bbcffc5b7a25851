using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Tests.Attention;

/// <summary>Every finite half-precision number, subnormal ones included, is unpacked to exactly its value times a power of two.</summary>
public sealed unsafe class HalfUnpackingTests
{
    [Theory, InlineData(512), InlineData(256), InlineData(128)]
    public void EveryFiniteHalfIsExact(int bits)
    {
        switch (bits)
        {
            case 512: Check<Simd512, F16Element>(); Check<Simd512, ShiftedF16Element>(); break;
            case 256: Check<Simd256, F16Element>(); Check<Simd256, ShiftedF16Element>(); break;
            default: Check<Simd128, F16Element>(); Check<Simd128, ShiftedF16Element>(); break;
        }
    }

    private static void Check<V, TElement>()
        where V : struct, ISimd<V>
        where TElement : struct, IKvElement
    {
        double unit = (double)TElement.Unit * TElement.Remainder;
        int lanes = V.Count, pair = 2 * lanes;
        ushort* halves = stackalloc ushort[pair];
        float* unpacked = stackalloc float[pair];
        for (int first = 0; first < 65536; first += pair)
        {
            for (int i = 0; i < pair; i++) halves[i] = (ushort)(first + i);
            new Span<float>(unpacked, pair).Fill(float.NaN);
            DecodeOrder<V, TElement>.Unpack((byte*)halves, pair, 1, unpacked, pair);
            for (int i = 0; i < pair; i++)
            {
                var half = BitConverter.UInt16BitsToHalf(halves[i]);
                double value = unpacked[(i & 1) * lanes + i / 2] * unit;
                if (Half.IsFinite(half)) Assert.Equal((double)half, value);
                else Assert.True(Math.Abs(value) >= 65536, $"{half} became {value}");
            }
        }
    }
}
