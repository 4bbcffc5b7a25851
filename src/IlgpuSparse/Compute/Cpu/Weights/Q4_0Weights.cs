using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>Blocks of 18 bytes: an fp16 scale d and 16 bytes, low nibbles first 16 numbers, high nibbles the other 16; w = d·(q - 8).</summary>
internal readonly unsafe struct Q4_0Weights : IWeightFormat
{
    private const int BlockBytes = 18, HeadBytes = 2, BlockElements = 32;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Dot<V>(byte* row, float* x, int columns) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table;
        V sum = V.Zero;
        for (; columns >= BlockElements; columns -= BlockElements, row += BlockBytes, x += BlockElements)
        {
            V scale = V.Create(HalfBits.Read(halves, row));
            for (int i = 0; i < BlockElements / 2; i += V.Count)
            {
                V q = V.LoadBytes(row + HeadBytes + i);
                V products = V.Multiply(V.CentredNibble(q), V.Load(x + i));
                products = V.MultiplyAdd(V.CentredNibble(V.ShiftRight(q, 4)), V.Load(x + i + BlockElements / 2), products);
                sum = V.MultiplyAdd(products, scale, sum);
            }
        }
        return V.Sum(sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Dequantise<V>(byte* row, float* target, int count) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table;
        for (; count >= BlockElements; count -= BlockElements, row += BlockBytes, target += BlockElements)
        {
            V scale = V.Create(HalfBits.Read(halves, row));
            for (int i = 0; i < BlockElements / 2; i += V.Count)
            {
                V q = V.LoadBytes(row + HeadBytes + i);
                V.Store(V.Multiply(V.CentredNibble(q), scale), target + i);
                V.Store(V.Multiply(V.CentredNibble(V.ShiftRight(q, 4)), scale), target + i + BlockElements / 2);
            }
        }
    }
}
