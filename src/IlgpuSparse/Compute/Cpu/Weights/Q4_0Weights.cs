using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>Blocks of 18 bytes: an fp16 scale d and 16 bytes, low nibbles first 16 numbers, high nibbles the other 16; w = d·(q - 8).</summary>
internal readonly unsafe struct Q4_0Weights : IWeightFormat
{
    private const int BlockBytes = 18, HeadBytes = 2, BlockElements = 32;

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static float Dot<V>(byte* row, float* x, int columns) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table;
        V even = V.Zero, odd = V.Zero;
        int blocks = columns / BlockElements;
        for (; blocks >= 2; blocks -= 2)
        {
            Prefetch.Ahead(row);
            even = V.MultiplyAdd(Block<V>(row + HeadBytes, x), V.Create(HalfBits.Read(halves, row)), even);
            odd = V.MultiplyAdd(Block<V>(row + BlockBytes + HeadBytes, x + BlockElements), V.Create(HalfBits.Read(halves, row + BlockBytes)), odd);
            row += 2 * BlockBytes;
            x += 2 * BlockElements;
        }
        if (blocks != 0) even = V.MultiplyAdd(Block<V>(row + HeadBytes, x), V.Create(HalfBits.Read(halves, row)), even);
        return V.Sum(V.Add(even, odd));
    }

    // The 32 products of a block, summed to one vector.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Block<V>(byte* codes, float* x) where V : struct, ISimd<V>
    {
        V sum = V.Zero;
        for (int i = 0; i < BlockElements / 2; i += V.Count)
        {
            V q = V.LoadBytes(codes + i);
            V low = V.Multiply(V.CentredNibble(q), V.Load(x + i));
            low = V.MultiplyAdd(V.CentredNibble(V.ShiftRight(q, 4)), V.Load(x + i + BlockElements / 2), low);
            sum = i == 0 ? low : V.Add(sum, low);
        }
        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
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
