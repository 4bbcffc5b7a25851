using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>Super-blocks of 256 in 176 bytes: the head and nibbles of <see cref="Q4_KWeights"/>, between them 32 bytes whose bit j is the fifth bit of block j.</summary>
internal readonly unsafe struct Q5_KWeights : IWeightFormat
{
    private const int BlockBytes = 176, HeadBytes = 16, BlockElements = 256;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Dot<V>(byte* row, float* x, int columns) where V : struct, ISimd<V>
    {
        V low = V.Zero, high = V.Zero;
        for (; columns >= BlockElements; columns -= BlockElements, row += BlockBytes)
        {
            var scales = new KQuantScales(row);
            byte* fifth = row + HeadBytes, q = fifth + 32;
            for (int j = 0; j < 8; j += 2, q += 32, x += 64)
            {
                V scale0 = V.Create(scales.Scale(j)), offset0 = V.Create(scales.Offset(j));
                V scale1 = V.Create(scales.Scale(j + 1)), offset1 = V.Create(scales.Offset(j + 1));
                for (int i = 0; i < 32; i += V.Count)
                {
                    V bits = V.LoadBytes(q + i), top = V.ShiftRight(V.LoadBytes(fifth + i), j);
                    low = V.MultiplyAdd(V.MultiplyAdd(Low(bits, top), scale0, offset0), V.Load(x + i), low);
                    high = V.MultiplyAdd(V.MultiplyAdd(High(bits, top), scale1, offset1), V.Load(x + i + 32), high);
                }
            }
        }
        return V.Sum(V.Add(low, high));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Dequantise<V>(byte* row, float* target, int count) where V : struct, ISimd<V>
    {
        for (; count >= BlockElements; count -= BlockElements, row += BlockBytes)
        {
            var scales = new KQuantScales(row);
            byte* fifth = row + HeadBytes, q = fifth + 32;
            for (int j = 0; j < 8; j += 2, q += 32, target += 64)
            {
                V scale0 = V.Create(scales.Scale(j)), offset0 = V.Create(scales.Offset(j));
                V scale1 = V.Create(scales.Scale(j + 1)), offset1 = V.Create(scales.Offset(j + 1));
                for (int i = 0; i < 32; i += V.Count)
                {
                    V bits = V.LoadBytes(q + i), top = V.ShiftRight(V.LoadBytes(fifth + i), j);
                    V.Store(V.MultiplyAdd(Low(bits, top), scale0, offset0), target + i);
                    V.Store(V.MultiplyAdd(High(bits, top), scale1, offset1), target + i + 32);
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Low<V>(V bits, V top) where V : struct, ISimd<V> => V.ToFloat(V.Or(V.And(bits, 15), V.And(V.ShiftLeft(top, 4), 16)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V High<V>(V bits, V top) where V : struct, ISimd<V> => V.ToFloat(V.Or(V.ShiftRight(bits, 4), V.And(V.ShiftLeft(top, 3), 16)));
}
