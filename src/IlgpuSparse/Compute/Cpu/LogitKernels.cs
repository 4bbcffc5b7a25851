using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>The first pass over a tile of tokens: logits from K. One, two or four query heads share every load and conversion.</summary>
internal static unsafe class LogitKernels<V, TElement>
    where V : struct, ISimd<V>
    where TElement : struct, IKvElement
{
    /// <summary>Logits of <paramref name="heads"/> heads: <paramref name="scores"/> <c>[head][TileTokens]</c>. Prefetches the next rows on the way.</summary>
    public static void Run<TRows>(in TRows rows, float* queries, int heads, int headDim, float* scores) where TRows : struct, IKvRows
    {
        int pairs = DecodeOrder<V, TElement>.Pairs(headDim), last = DecodeOrder<V, TElement>.FirstChannel(pairs - 1, headDim) * TElement.Bytes;
        int width = pairs * 2 * V.Count;
        bool prefetch = true;
        for (int h = 0; h < heads; prefetch = false)
        {
            if (heads - h >= 4) Heads4(rows, queries + h * width, pairs, last, scores + h * DecodeOrder<V, TElement>.TileTokens, prefetch);
            else if (heads - h >= 2) Heads2(rows, queries + h * width, pairs, last, scores + h * DecodeOrder<V, TElement>.TileTokens, prefetch);
            else Heads1(rows, queries + h * width, pairs, last, scores + h * DecodeOrder<V, TElement>.TileTokens, prefetch);
            h += heads - h >= 4 ? 4 : heads - h >= 2 ? 2 : 1;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Heads1<TRows>(in TRows tile, float* q, int pairs, int last, float* scores, bool prefetch) where TRows : struct, IKvRows
    {
        TRows rows = tile; // a copy, so that its fields are in registers
        var constants = TElement.Constants<V>();
        int step = 2 * V.Count * TElement.Bytes, count = rows.Count;
        for (int t = 0; t < count; t += 4)
        {
            if (prefetch) rows.FetchRows(t, 4);
            byte* k0 = rows.Row(t), k1 = rows.Row(t + 1), k2 = rows.Row(t + 2), k3 = rows.Row(t + 3);
            V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero;
            float* channel = q;
            for (int p = 0, at = 0; p < pairs; p++, at += step, channel += 2 * V.Count)
            {
                if (prefetch) rows.FetchPiece(t, 4, at, step);
                int offset = Math.Min(at, last);
                V even = V.Load(channel), odd = V.Load(channel + V.Count);
                s0 = V.MultiplyAdd(TElement.First(k0 + offset, constants), even, s0);
                s1 = V.MultiplyAdd(TElement.First(k1 + offset, constants), even, s1);
                s2 = V.MultiplyAdd(TElement.First(k2 + offset, constants), even, s2);
                s3 = V.MultiplyAdd(TElement.First(k3 + offset, constants), even, s3);
                s0 = V.MultiplyAdd(TElement.Second(k0 + offset, constants), odd, s0);
                s1 = V.MultiplyAdd(TElement.Second(k1 + offset, constants), odd, s1);
                s2 = V.MultiplyAdd(TElement.Second(k2 + offset, constants), odd, s2);
                s3 = V.MultiplyAdd(TElement.Second(k3 + offset, constants), odd, s3);
            }
            V.Sum4(s0, s1, s2, s3).Store(scores + t);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Heads2<TRows>(in TRows tile, float* q, int pairs, int last, float* scores, bool prefetch) where TRows : struct, IKvRows
    {
        TRows rows = tile; // a copy, so that its fields are in registers
        var constants = TElement.Constants<V>();
        int step = 2 * V.Count * TElement.Bytes, width = pairs * 2 * V.Count, count = rows.Count;
        for (int t = 0; t < count; t += 4)
        {
            if (prefetch) rows.FetchRows(t, 4);
            byte* k0 = rows.Row(t), k1 = rows.Row(t + 1), k2 = rows.Row(t + 2), k3 = rows.Row(t + 3);
            V a0 = V.Zero, a1 = V.Zero, a2 = V.Zero, a3 = V.Zero;
            V b0 = V.Zero, b1 = V.Zero, b2 = V.Zero, b3 = V.Zero;
            float* channel = q;
            for (int p = 0, at = 0; p < pairs; p++, at += step, channel += 2 * V.Count)
            {
                if (prefetch) rows.FetchPiece(t, 4, at, step);
                int offset = Math.Min(at, last);
                V a = V.Load(channel), b = V.Load(channel + width);
                V k = TElement.First(k0 + offset, constants);
                a0 = V.MultiplyAdd(k, a, a0);
                b0 = V.MultiplyAdd(k, b, b0);
                k = TElement.First(k1 + offset, constants);
                a1 = V.MultiplyAdd(k, a, a1);
                b1 = V.MultiplyAdd(k, b, b1);
                k = TElement.First(k2 + offset, constants);
                a2 = V.MultiplyAdd(k, a, a2);
                b2 = V.MultiplyAdd(k, b, b2);
                k = TElement.First(k3 + offset, constants);
                a3 = V.MultiplyAdd(k, a, a3);
                b3 = V.MultiplyAdd(k, b, b3);
                a = V.Load(channel + V.Count);
                b = V.Load(channel + width + V.Count);
                k = TElement.Second(k0 + offset, constants);
                a0 = V.MultiplyAdd(k, a, a0);
                b0 = V.MultiplyAdd(k, b, b0);
                k = TElement.Second(k1 + offset, constants);
                a1 = V.MultiplyAdd(k, a, a1);
                b1 = V.MultiplyAdd(k, b, b1);
                k = TElement.Second(k2 + offset, constants);
                a2 = V.MultiplyAdd(k, a, a2);
                b2 = V.MultiplyAdd(k, b, b2);
                k = TElement.Second(k3 + offset, constants);
                a3 = V.MultiplyAdd(k, a, a3);
                b3 = V.MultiplyAdd(k, b, b3);
            }
            V.Sum4(a0, a1, a2, a3).Store(scores + t);
            V.Sum4(b0, b1, b2, b3).Store(scores + DecodeOrder<V, TElement>.TileTokens + t);
        }
    }

    // Two tokens by four heads: eight sums, which leave room for the queries in sixteen registers as in thirty-two.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Heads4<TRows>(in TRows tile, float* q, int pairs, int last, float* scores, bool prefetch) where TRows : struct, IKvRows
    {
        TRows rows = tile; // a copy, so that its fields are in registers
        var constants = TElement.Constants<V>();
        int step = 2 * V.Count * TElement.Bytes, count = rows.Count;
        nint width = pairs * 2 * V.Count;
        for (int t = 0; t < count; t += 2)
        {
            if (prefetch) rows.FetchRows(t, 2);
            byte* k0 = rows.Row(t), k1 = rows.Row(t + 1);
            V a0 = V.Zero, b0 = V.Zero, c0 = V.Zero, d0 = V.Zero;
            V a1 = V.Zero, b1 = V.Zero, c1 = V.Zero, d1 = V.Zero;
            float* channel = q;
            for (int p = 0, at = 0; p < pairs; p++, at += step, channel += 2 * V.Count)
            {
                if (prefetch) rows.FetchPiece(t, 2, at, step);
                int offset = Math.Min(at, last);
                V x = TElement.First(k0 + offset, constants), y = TElement.First(k1 + offset, constants);
                V query = V.Load(channel);
                a0 = V.MultiplyAdd(x, query, a0);
                a1 = V.MultiplyAdd(y, query, a1);
                query = V.Load(channel + width);
                b0 = V.MultiplyAdd(x, query, b0);
                b1 = V.MultiplyAdd(y, query, b1);
                query = V.Load(channel + 2 * width);
                c0 = V.MultiplyAdd(x, query, c0);
                c1 = V.MultiplyAdd(y, query, c1);
                query = V.Load(channel + 3 * width);
                d0 = V.MultiplyAdd(x, query, d0);
                d1 = V.MultiplyAdd(y, query, d1);
                x = TElement.Second(k0 + offset, constants);
                y = TElement.Second(k1 + offset, constants);
                query = V.Load(channel + V.Count);
                a0 = V.MultiplyAdd(x, query, a0);
                a1 = V.MultiplyAdd(y, query, a1);
                query = V.Load(channel + width + V.Count);
                b0 = V.MultiplyAdd(x, query, b0);
                b1 = V.MultiplyAdd(y, query, b1);
                query = V.Load(channel + 2 * width + V.Count);
                c0 = V.MultiplyAdd(x, query, c0);
                c1 = V.MultiplyAdd(y, query, c1);
                query = V.Load(channel + 3 * width + V.Count);
                d0 = V.MultiplyAdd(x, query, d0);
                d1 = V.MultiplyAdd(y, query, d1);
            }
            var first = V.Sum4(a0, b0, c0, d0);
            var second = V.Sum4(a1, b1, c1, d1);
            for (int h = 0; h < 4; h++)
            {
                scores[h * DecodeOrder<V, TElement>.TileTokens + t] = first[h];
                scores[h * DecodeOrder<V, TElement>.TileTokens + t + 1] = second[h];
            }
        }
    }
}
