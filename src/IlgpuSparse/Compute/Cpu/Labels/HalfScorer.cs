using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Labels;

/// <summary>Labels in half precision: two channels a word.</summary>
internal readonly unsafe struct HalfScorer<V> : ILabelScorer where V : struct, ISimd<V>
{
    public static int TableFloats(LabelCoding coding) => 2 * coding.Words + 15 & ~15;

    public static void Prepare(LabelCoding coding, float* weights, float* table)
    {
        for (int i = 0; i < coding.PaddedChannels; i++) table[i] = weights[i] * HalfLanes.Unit;
    }

    public static void Score(LabelCoding coding, uint* codes, int tiles, float* tables, int heads, float* scores, long stride)
    {
        int head = 0, tableFloats = TableFloats(coding);
        for (; head + 4 <= heads; head += 4) FourHeads(codes, coding.Words, tiles, tables + head * tableFloats, tableFloats, scores + head * stride, stride);
        for (; head < heads; head++) OneHead(codes, coding.Words, tiles, tables + head * tableFloats, scores + head * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void OneHead(uint* codes, int words, int tiles, float* table, float* scores)
    {
        for (int tile = 0; tile < tiles; tile++, codes += LabelLayer.TileTokens * words, scores += LabelLayer.TileTokens)
        {
            for (int lane = 0; lane < LabelLayer.TileTokens; lane += V.Count)
            {
                V even = V.Zero, odd = V.Zero;
                for (int word = 0; word < words; word++)
                {
                    V x = V.Load((float*)(codes + word * LabelLayer.TileTokens + lane));
                    even = V.MultiplyAdd(V.Create(table[2 * word]), HalfLanes.Low(x), even);
                    odd = V.MultiplyAdd(V.Create(table[2 * word + 1]), HalfLanes.High(x), odd);
                }
                V.Store(V.Add(even, odd), scores + lane);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void FourHeads(uint* codes, int words, int tiles, float* tables, int tableFloats, float* scores, long stride)
    {
        float* t0 = tables, t1 = t0 + tableFloats, t2 = t1 + tableFloats, t3 = t2 + tableFloats;
        for (int tile = 0; tile < tiles; tile++, codes += LabelLayer.TileTokens * words, scores += LabelLayer.TileTokens)
        {
            for (int lane = 0; lane < LabelLayer.TileTokens; lane += V.Count)
            {
                V a = V.Zero, b = V.Zero, c = V.Zero, d = V.Zero;
                for (int word = 0; word < words; word++)
                {
                    V x = V.Load((float*)(codes + word * LabelLayer.TileTokens + lane)), low = HalfLanes.Low(x), high = HalfLanes.High(x);
                    int n = 2 * word;
                    a = V.MultiplyAdd(V.Create(t0[n + 1]), high, V.MultiplyAdd(V.Create(t0[n]), low, a));
                    b = V.MultiplyAdd(V.Create(t1[n + 1]), high, V.MultiplyAdd(V.Create(t1[n]), low, b));
                    c = V.MultiplyAdd(V.Create(t2[n + 1]), high, V.MultiplyAdd(V.Create(t2[n]), low, c));
                    d = V.MultiplyAdd(V.Create(t3[n + 1]), high, V.MultiplyAdd(V.Create(t3[n]), low, d));
                }
                V.Store(a, scores + lane);
                V.Store(b, scores + stride + lane);
                V.Store(c, scores + 2 * stride + lane);
                V.Store(d, scores + 3 * stride + lane);
            }
        }
    }
}
