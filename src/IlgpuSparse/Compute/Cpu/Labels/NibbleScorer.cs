using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu.Labels;

/// <summary>
/// Codes of 1, 2 and 4 bits on 512-bit registers. Four bits of a word (4, 2 or 1 channels) have 16 possible contributions to the score: one register, computed from the query once a step. One
/// permutation then looks up the contributions of 16 tokens, exact in fp32. The permutation ignores the higher bits of its indices, so that half of the shifts are loads at byte offsets.
/// </summary>
internal readonly unsafe struct NibbleScorer : ILabelScorer
{
    private const int NibblesPerWord = 8;
    private const int Entries = 16;
    private const int WordTable = NibblesPerWord * Entries;

    public static int TableFloats(LabelCoding coding) => coding.Words * WordTable;

    public static void Prepare(LabelCoding coding, float* weights, float* table)
    {
        int bits = coding.Bits, perNibble = 4 / bits;
        var mask = Vector512.Create((1 << bits) - 1);
        var centre = Vector512.Create(coding.Centre);
        for (int channel = 0; channel < perNibble; channel++)
        {
            var value = Vector512.ConvertToSingle(Vector512<int>.Indices >>> (channel * bits) & mask) - centre;
            for (int nibble = 0; nibble < coding.Words * NibblesPerWord; nibble++)
            {
                float* entry = table + nibble * Entries;
                var before = channel == 0 ? Vector512<float>.Zero : Vector512.Load(entry);
                Vector512.FusedMultiplyAdd(Vector512.Create(weights[nibble * perNibble + channel]), value, before).Store(entry);
            }
        }
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
        int tile = 0;
        // Two tiles at a time, so that every table entry is loaded once for both.
        for (; tile + 2 <= tiles; tile += 2, codes += 2 * LabelLayer.TileTokens * words, scores += 2 * LabelLayer.TileTokens)
        {
            Vector512<float> a = default, b = default, c = default, d = default;
            byte* first = (byte*)codes, second = (byte*)(codes + LabelLayer.TileTokens * words);
            float* t = table;
            for (int word = 0; word < words; word++, first += Vector512<byte>.Count, second += Vector512<byte>.Count)
            {
                for (int i = 0; i < sizeof(uint); i++, t += 2 * Entries)
                {
                    Vector512<int> x = Vector512.Load((int*)(first + i)), y = Vector512.Load((int*)(second + i));
                    Vector512<float> low = Vector512.Load(t), high = Vector512.Load(t + Entries);
                    a += Avx512F.PermuteVar16x32(low, x);
                    b += Avx512F.PermuteVar16x32(low, y);
                    c += Avx512F.PermuteVar16x32(high, x >>> 4);
                    d += Avx512F.PermuteVar16x32(high, y >>> 4);
                }
            }
            (a + c).Store(scores);
            (b + d).Store(scores + LabelLayer.TileTokens);
        }
        if (tile < tiles)
        {
            Vector512<float> a = default, c = default;
            byte* first = (byte*)codes;
            float* t = table;
            for (int word = 0; word < words; word++, first += Vector512<byte>.Count)
            {
                for (int i = 0; i < sizeof(uint); i++, t += 2 * Entries)
                {
                    var x = Vector512.Load((int*)(first + i));
                    a += Avx512F.PermuteVar16x32(Vector512.Load(t), x);
                    c += Avx512F.PermuteVar16x32(Vector512.Load(t + Entries), x >>> 4);
                }
            }
            (a + c).Store(scores);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void FourHeads(uint* codes, int words, int tiles, float* tables, int tableFloats, float* scores, long stride)
    {
        for (int tile = 0; tile < tiles; tile++, codes += LabelLayer.TileTokens * words, scores += LabelLayer.TileTokens)
        {
            Vector512<float> a = default, b = default, c = default, d = default, e = default, f = default, g = default, h = default;
            float* t0 = tables, t1 = t0 + tableFloats, t2 = t1 + tableFloats, t3 = t2 + tableFloats;
            byte* line = (byte*)codes;
            for (int word = 0, n = 0; word < words; word++, line += Vector512<byte>.Count)
            {
                for (int i = 0; i < sizeof(uint); i++, n += 2 * Entries)
                {
                    var x = Vector512.Load((int*)(line + i));
                    var y = x >>> 4;
                    a += Avx512F.PermuteVar16x32(Vector512.Load(t0 + n), x);
                    b += Avx512F.PermuteVar16x32(Vector512.Load(t1 + n), x);
                    c += Avx512F.PermuteVar16x32(Vector512.Load(t2 + n), x);
                    d += Avx512F.PermuteVar16x32(Vector512.Load(t3 + n), x);
                    e += Avx512F.PermuteVar16x32(Vector512.Load(t0 + n + Entries), y);
                    f += Avx512F.PermuteVar16x32(Vector512.Load(t1 + n + Entries), y);
                    g += Avx512F.PermuteVar16x32(Vector512.Load(t2 + n + Entries), y);
                    h += Avx512F.PermuteVar16x32(Vector512.Load(t3 + n + Entries), y);
                }
            }
            (a + e).Store(scores);
            (b + f).Store(scores + stride);
            (c + g).Store(scores + 2 * stride);
            (d + h).Store(scores + 3 * stride);
        }
    }
}
