using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Labels;

/// <summary>Integer codes of any width up to 8 bits, one channel at a time: mask, convert, multiply and add. For 8 bits, and for processors without the permutations of the faster scorers.</summary>
internal readonly unsafe struct FieldScorer<V> : ILabelScorer where V : struct, ISimd<V>
{
    // The table: the constant −centre·Σw, 15 unused floats, the weights.
    private const int Header = 16;

    public static int TableFloats(LabelCoding coding) => Header + (coding.PaddedChannels + 15 & ~15);

    public static void Prepare(LabelCoding coding, float* weights, float* table)
    {
        double sum = 0;
        for (int i = 0; i < coding.PaddedChannels; i++)
        {
            table[Header + i] = weights[i];
            sum += weights[i];
        }
        table[0] = (float)(-coding.Centre * sum);
    }

    public static void Score(LabelCoding coding, uint* codes, int tiles, float* tables, int heads, float* scores, long stride)
    {
        int head = 0, tableFloats = TableFloats(coding);
        for (; head + 4 <= heads; head += 4) FourHeads(coding, codes, tiles, tables + head * tableFloats, tableFloats, scores + head * stride, stride);
        for (; head < heads; head++) OneHead(coding, codes, tiles, tables + head * tableFloats, scores + head * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void OneHead(LabelCoding coding, uint* codes, int tiles, float* table, float* scores)
    {
        int bits = coding.Bits, mask = (1 << bits) - 1, perWord = coding.PerWord, words = coding.Words;
        for (int tile = 0; tile < tiles; tile++, codes += LabelLayer.TileTokens * words, scores += LabelLayer.TileTokens)
        {
            for (int lane = 0; lane < LabelLayer.TileTokens; lane += V.Count)
            {
                // even and odd channels apart: two chains of additions
                V even = V.Create(table[0]), odd = V.Zero;
                float* w = table + Header;
                for (int word = 0; word < words; word++)
                {
                    V x = V.Load((float*)(codes + word * LabelLayer.TileTokens + lane));
                    for (int i = 0; i < perWord; i += 2, w += 2)
                    {
                        even = V.MultiplyAdd(V.Create(w[0]), V.ToFloat(V.And(x, mask)), even);
                        x = V.ShiftRight(x, bits);
                        odd = V.MultiplyAdd(V.Create(w[1]), V.ToFloat(V.And(x, mask)), odd);
                        x = V.ShiftRight(x, bits);
                    }
                }
                V.Store(V.Add(even, odd), scores + lane);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void FourHeads(LabelCoding coding, uint* codes, int tiles, float* tables, int tableFloats, float* scores, long stride)
    {
        int bits = coding.Bits, mask = (1 << bits) - 1, perWord = coding.PerWord, words = coding.Words;
        float* t0 = tables, t1 = t0 + tableFloats, t2 = t1 + tableFloats, t3 = t2 + tableFloats;
        for (int tile = 0; tile < tiles; tile++, codes += LabelLayer.TileTokens * words, scores += LabelLayer.TileTokens)
        {
            for (int lane = 0; lane < LabelLayer.TileTokens; lane += V.Count)
            {
                V a = V.Create(t0[0]), b = V.Create(t1[0]), c = V.Create(t2[0]), d = V.Create(t3[0]);
                for (int word = 0, n = Header; word < words; word++)
                {
                    V x = V.Load((float*)(codes + word * LabelLayer.TileTokens + lane));
                    for (int i = 0; i < perWord; i++, n++)
                    {
                        V value = V.ToFloat(V.And(x, mask));
                        x = V.ShiftRight(x, bits);
                        a = V.MultiplyAdd(V.Create(t0[n]), value, a);
                        b = V.MultiplyAdd(V.Create(t1[n]), value, b);
                        c = V.MultiplyAdd(V.Create(t2[n]), value, c);
                        d = V.MultiplyAdd(V.Create(t3[n]), value, d);
                    }
                }
                V.Store(a, scores + lane);
                V.Store(b, scores + stride + lane);
                V.Store(c, scores + 2 * stride + lane);
                V.Store(d, scores + 3 * stride + lane);
            }
        }
    }
}
