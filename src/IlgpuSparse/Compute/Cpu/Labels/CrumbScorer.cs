using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu.Labels;

/// <summary>
/// Codes of 1, 2 and 4 bits on 256-bit registers: as <see cref="NibbleScorer"/> with two bits at a time, whose 4 contributions fit the in-lane permutation of AVX (two channels of one bit, one of
/// two, half of one of four).
/// </summary>
internal readonly unsafe struct CrumbScorer : ILabelScorer
{
    private const int CrumbsPerWord = 16;
    private const int Entries = 4;
    private const int WordTable = CrumbsPerWord * Entries;

    public static int TableFloats(LabelCoding coding) => coding.Words * WordTable;

    public static void Prepare(LabelCoding coding, float* weights, float* table)
    {
        float centre = coding.Centre;
        for (int crumb = 0; crumb < coding.Words * CrumbsPerWord; crumb++, table += Entries)
        {
            for (int entry = 0; entry < Entries; entry++)
            {
                table[entry] = coding.Bits switch
                {
                    1 => weights[2 * crumb] * ((entry & 1) - centre) + weights[2 * crumb + 1] * ((entry >> 1) - centre),
                    2 => weights[crumb] * (entry - centre),
                    _ => weights[crumb / 2] * (crumb % 2 == 0 ? entry - centre : 4 * entry),
                };
            }
        }
    }

    public static void Score(LabelCoding coding, uint* codes, int tiles, float* tables, int heads, float* scores, long stride)
    {
        for (int head = 0; head < heads; head++) OneHead(codes, coding.Words, tiles, tables + head * TableFloats(coding), scores + head * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void OneHead(uint* codes, int words, int tiles, float* table, float* scores)
    {
        for (int tile = 0; tile < tiles; tile++, codes += LabelLayer.TileTokens * words, scores += LabelLayer.TileTokens)
        {
            Vector256<float> a = default, b = default, c = default, d = default;
            byte* line = (byte*)codes;
            float* t = table;
            for (int word = 0; word < words; word++, line += LabelLayer.TileTokens * sizeof(uint))
            {
                for (int i = 0; i < sizeof(uint); i++, t += 4 * Entries)
                {
                    Vector256<int> x = Vector256.Load((int*)(line + i)), y = Vector256.Load((int*)(line + i) + Vector256<int>.Count);
                    Vector256<float> t0 = Avx.BroadcastVector128ToVector256(t), t1 = Avx.BroadcastVector128ToVector256(t + Entries);
                    Vector256<float> t2 = Avx.BroadcastVector128ToVector256(t + 2 * Entries), t3 = Avx.BroadcastVector128ToVector256(t + 3 * Entries);
                    a += Avx.PermuteVar(t0, x);
                    b += Avx.PermuteVar(t0, y);
                    c += Avx.PermuteVar(t1, x >>> 2);
                    d += Avx.PermuteVar(t1, y >>> 2);
                    a += Avx.PermuteVar(t2, x >>> 4);
                    b += Avx.PermuteVar(t2, y >>> 4);
                    c += Avx.PermuteVar(t3, x >>> 6);
                    d += Avx.PermuteVar(t3, y >>> 6);
                }
            }
            (a + c).Store(scores);
            (b + d).Store(scores + Vector256<float>.Count);
        }
    }
}
