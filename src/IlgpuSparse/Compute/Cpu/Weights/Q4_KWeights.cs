using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>
/// Super-blocks of 256 in 144 bytes: fp16 d and dmin, 12 bytes of <see cref="KQuantScales"/>, then four times 32 bytes whose low nibbles are one block of 32 and
/// whose high nibbles are the next; w = d·scale·q - dmin·minimum.
/// </summary>
internal readonly unsafe struct Q4_KWeights : IWeightFormat
{
    private const int BlockBytes = 144, BlockElements = 256;

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static float Dot<V>(byte* row, float* x, int columns) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table, scales = stackalloc float[KQuantScales.Count];
        V low0 = V.Zero, low1 = V.Zero, high0 = V.Zero, high1 = V.Zero;
        for (; columns >= BlockElements; columns -= BlockElements, row += BlockBytes)
        {
            Prefetch.Ahead(row);
            Prefetch.Ahead(row + 64);
            Prefetch.Ahead(row + 128);
            KQuantScales.Unpack(row, halves, scales);
            byte* q = row + KQuantScales.HeadBytes;
            for (int j = 0; j < 8; j += 2, q += 32, x += 64)
            {
                V scale0 = V.Create(scales[j]), offset0 = V.Create(scales[j + 8]), scale1 = V.Create(scales[j + 1]), offset1 = V.Create(scales[j + 9]);
                for (int i = 0; i < 32; i += 2 * V.Count)
                {
                    V a = V.LoadBytes(q + i), b = V.LoadBytes(q + i + V.Count);
                    low0 = V.MultiplyAdd(V.Load(x + i), V.Nibble(a, scale0, offset0), low0);
                    low1 = V.MultiplyAdd(V.Load(x + i + V.Count), V.Nibble(b, scale0, offset0), low1);
                    high0 = V.MultiplyAdd(V.Load(x + i + 32), V.Nibble(V.ShiftRight(a, 4), scale1, offset1), high0);
                    high1 = V.MultiplyAdd(V.Load(x + i + 32 + V.Count), V.Nibble(V.ShiftRight(b, 4), scale1, offset1), high1);
                }
            }
        }
        return V.Sum(V.Add(V.Add(low0, low1), V.Add(high0, high1)));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Dequantise<V>(byte* row, float* target, int count) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table, scales = stackalloc float[KQuantScales.Count];
        for (; count >= BlockElements; count -= BlockElements, row += BlockBytes)
        {
            KQuantScales.Unpack(row, halves, scales);
            byte* q = row + KQuantScales.HeadBytes;
            for (int j = 0; j < 8; j += 2, q += 32, target += 64)
            {
                V scale0 = V.Create(scales[j]), offset0 = V.Create(scales[j + 8]), scale1 = V.Create(scales[j + 1]), offset1 = V.Create(scales[j + 9]);
                for (int i = 0; i < 32; i += V.Count)
                {
                    V bits = V.LoadBytes(q + i);
                    V.Store(V.Nibble(bits, scale0, offset0), target + i);
                    V.Store(V.Nibble(V.ShiftRight(bits, 4), scale1, offset1), target + i + 32);
                }
            }
        }
    }
}
