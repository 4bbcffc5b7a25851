using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>Blocks of 20 bytes: fp16 scale d and minimum m, then nibbles as in <see cref="Q4_0Weights"/>; w = d·q + m.</summary>
internal readonly unsafe struct Q4_1Weights : IWeightFormat
{
    private const int BlockBytes = 20, HeadBytes = 4, BlockElements = 32;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Dot<V>(byte* row, float* x, int columns) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table;
        V low = V.Zero, high = V.Zero;
        for (; columns >= BlockElements; columns -= BlockElements, row += BlockBytes, x += BlockElements)
        {
            V scale = V.Create(HalfBits.Read(halves, row)), offset = V.Create(HalfBits.Read(halves, row + 2));
            for (int i = 0; i < BlockElements / 2; i += V.Count)
            {
                V q = V.LoadBytes(row + HeadBytes + i);
                low = V.MultiplyAdd(V.Nibble(q, scale, offset), V.Load(x + i), low);
                high = V.MultiplyAdd(V.Nibble(V.ShiftRight(q, 4), scale, offset), V.Load(x + i + BlockElements / 2), high);
            }
        }
        return V.Sum(V.Add(low, high));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Dequantise<V>(byte* row, float* target, int count) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table;
        for (; count >= BlockElements; count -= BlockElements, row += BlockBytes, target += BlockElements)
        {
            V scale = V.Create(HalfBits.Read(halves, row)), offset = V.Create(HalfBits.Read(halves, row + 2));
            for (int i = 0; i < BlockElements / 2; i += V.Count)
            {
                V q = V.LoadBytes(row + HeadBytes + i);
                V.Store(V.Nibble(q, scale, offset), target + i);
                V.Store(V.Nibble(V.ShiftRight(q, 4), scale, offset), target + i + BlockElements / 2);
            }
        }
    }
}
