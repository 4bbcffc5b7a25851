using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>Blocks of 20 bytes: fp16 scale d and minimum m, then nibbles as in <see cref="Q4_0Weights"/>; w = d·q + m.</summary>
internal readonly unsafe struct Q4_1Weights : IWeightFormat
{
    private const int BlockBytes = 20, HeadBytes = 4, BlockElements = 32;

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static float Dot<V>(byte* row, float* x, int columns) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table;
        V low = V.Zero, high = V.Zero, oddLow = V.Zero, oddHigh = V.Zero;
        int blocks = columns / BlockElements;
        for (; blocks >= 2; blocks -= 2)
        {
            Prefetch.Ahead(row);
            Block(row, x, halves, ref low, ref high);
            Block(row + BlockBytes, x + BlockElements, halves, ref oddLow, ref oddHigh);
            row += 2 * BlockBytes;
            x += 2 * BlockElements;
        }
        if (blocks != 0) Block(row, x, halves, ref low, ref high);
        return V.Sum(V.Add(V.Add(low, high), V.Add(oddLow, oddHigh)));
    }

    // Adds the 32 products of a block to the sums of its low and its high nibbles.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Block<V>(byte* block, float* x, float* halves, ref V low, ref V high) where V : struct, ISimd<V>
    {
        V scale = V.Create(HalfBits.Read(halves, block)), offset = V.Create(HalfBits.Read(halves, block + 2));
        for (int i = 0; i < BlockElements / 2; i += V.Count)
        {
            V q = V.LoadBytes(block + HeadBytes + i);
            low = V.MultiplyAdd(V.Nibble(q, scale, offset), V.Load(x + i), low);
            high = V.MultiplyAdd(V.Nibble(V.ShiftRight(q, 4), scale, offset), V.Load(x + i + BlockElements / 2), high);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
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
