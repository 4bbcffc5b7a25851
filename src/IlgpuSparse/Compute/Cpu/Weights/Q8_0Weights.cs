using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>Blocks of 34 bytes: an fp16 scale d and 32 signed bytes q; w = d·q.</summary>
internal readonly unsafe struct Q8_0Weights : IWeightFormat
{
    private const int BlockBytes = 34, BlockElements = 32;

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static float Dot<V>(byte* row, float* x, int columns) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table;
        V even = V.Zero, odd = V.Zero;
        int blocks = columns / BlockElements;
        for (; blocks >= 2; blocks -= 2)
        {
            Prefetch.Ahead(row);
            even = V.MultiplyAdd(Block<V>(row + 2, x), V.Create(HalfBits.Read(halves, row)), even);
            odd = V.MultiplyAdd(Block<V>(row + BlockBytes + 2, x + BlockElements), V.Create(HalfBits.Read(halves, row + BlockBytes)), odd);
            row += 2 * BlockBytes;
            x += 2 * BlockElements;
        }
        if (blocks != 0) even = V.MultiplyAdd(Block<V>(row + 2, x), V.Create(HalfBits.Read(halves, row)), even);
        return V.Sum(V.Add(even, odd));
    }

    // The 32 products of a block, summed to one vector.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Block<V>(byte* q, float* x) where V : struct, ISimd<V>
    {
        V sum = V.Multiply(V.LoadSBytes(q), V.Load(x));
        for (int i = V.Count; i < BlockElements; i += V.Count) sum = V.MultiplyAdd(V.LoadSBytes(q + i), V.Load(x + i), sum);
        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Dequantise<V>(byte* row, float* target, int count) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table;
        for (; count >= BlockElements; count -= BlockElements, row += BlockBytes, target += BlockElements)
        {
            V scale = V.Create(HalfBits.Read(halves, row));
            for (int i = 0; i < BlockElements; i += V.Count) V.Store(V.Multiply(V.LoadSBytes(row + 2 + i), scale), target + i);
        }
    }
}
