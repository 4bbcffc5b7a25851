using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>Super-blocks of 256 in 176 bytes: the head and nibbles of <see cref="Q4_KWeights"/>, between them 32 bytes whose bit j is the fifth bit of block j.</summary>
internal readonly unsafe struct Q5_KWeights : IWeightFormat
{
    private const int BlockBytes = 176, BlockElements = 256;

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static float Dot<V>(byte* row, float* x, int columns) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table, scales = stackalloc float[KQuantScales.Count];
        byte* codes = stackalloc byte[BlockElements];
        V sum0 = V.Zero, sum1 = V.Zero, sum2 = V.Zero, sum3 = V.Zero;
        for (; columns >= BlockElements; columns -= BlockElements, row += BlockBytes, x += BlockElements)
        {
            Prefetch.Ahead(row);
            Prefetch.Ahead(row + 64);
            Prefetch.Ahead(row + 128);
            KQuantScales.Unpack(row, halves, scales);
            Unpack(row + KQuantScales.HeadBytes, codes);
            for (int j = 0; j < 8; j += 2)
            {
                V scale0 = V.Create(scales[j]), offset0 = V.Create(scales[j + 8]), scale1 = V.Create(scales[j + 1]), offset1 = V.Create(scales[j + 9]);
                byte* q = codes + 32 * j;
                float* at = x + 32 * j;
                for (int i = 0; i < 32; i += 2 * V.Count)
                {
                    sum0 = V.MultiplyAdd(V.MultiplyAdd(V.LoadSBytes(q + i), scale0, offset0), V.Load(at + i), sum0);
                    sum1 = V.MultiplyAdd(V.MultiplyAdd(V.LoadSBytes(q + i + V.Count), scale0, offset0), V.Load(at + i + V.Count), sum1);
                    sum2 = V.MultiplyAdd(V.MultiplyAdd(V.LoadSBytes(q + i + 32), scale1, offset1), V.Load(at + i + 32), sum2);
                    sum3 = V.MultiplyAdd(V.MultiplyAdd(V.LoadSBytes(q + i + 32 + V.Count), scale1, offset1), V.Load(at + i + 32 + V.Count), sum3);
                }
            }
        }
        return V.Sum(V.Add(V.Add(sum0, sum1), V.Add(sum2, sum3)));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Dequantise<V>(byte* row, float* target, int count) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table, scales = stackalloc float[KQuantScales.Count];
        byte* codes = stackalloc byte[BlockElements];
        for (; count >= BlockElements; count -= BlockElements, row += BlockBytes, target += BlockElements)
        {
            KQuantScales.Unpack(row, halves, scales);
            Unpack(row + KQuantScales.HeadBytes, codes);
            for (int j = 0; j < 8; j++)
            {
                V scale = V.Create(scales[j]), offset = V.Create(scales[j + 8]);
                for (int i = 32 * j; i < 32 * j + 32; i += V.Count) V.Store(V.MultiplyAdd(V.LoadSBytes(codes + i), scale, offset), target + i);
            }
        }
    }

    // The 256 codes as bytes in order: put together 32 at a time, before they are widened.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Unpack(byte* block, byte* codes)
    {
        Vector256<byte> fifth = Vector256.Load(block), low = Vector256.Create((byte)15), top = Vector256.Create((byte)16);
        for (int j = 0; j < 8; j += 2, codes += 64)
        {
            var q = Vector256.Load(block + 32 + 16 * j);
            // Words are shifted, and the bits that came over from the neighbouring byte are masked away.
            var even = j <= 4 ? Vector256.ShiftLeft(fifth.AsUInt16(), 4 - j).AsByte() : Vector256.ShiftRightLogical(fifth.AsUInt16(), j - 4).AsByte();
            var odd = j <= 3 ? Vector256.ShiftLeft(fifth.AsUInt16(), 3 - j).AsByte() : Vector256.ShiftRightLogical(fifth.AsUInt16(), j - 3).AsByte();
            ((q & low) | (even & top)).Store(codes);
            ((Vector256.ShiftRightLogical(q.AsUInt16(), 4).AsByte() & low) | (odd & top)).Store(codes + 32);
        }
    }
}
