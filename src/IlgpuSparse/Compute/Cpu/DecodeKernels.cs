using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// The two passes over a tile of tokens: logits from K, and the weighted sum of V. One, two or four query heads share every load and conversion. Queries and sums are kept in the
/// order in which <typeparamref name="TElement"/> unpacks: <c>[head][pair][first or second][lane]</c>, a pair being 2·Count channels. When the head size is no multiple of that the
/// last pair starts early; the query is zero and the sum repeated where it overlaps.
/// </summary>
internal static unsafe class DecodeKernels<V, TElement>
    where V : struct, ISimd<V>
    where TElement : struct, IKvElement
{
    /// <summary>Pairs of vectors that cover <paramref name="headDim"/> channels.</summary>
    public static int Pairs(int headDim) => (headDim + 2 * V.Count - 1) / (2 * V.Count);

    /// <summary>First channel of <paramref name="pair"/>.</summary>
    public static int FirstChannel(int pair, int headDim) => Math.Min(pair * 2 * V.Count, headDim - 2 * V.Count);

    /// <summary>Logits of <paramref name="heads"/> heads: <paramref name="scores"/> <c>[head][KvTile.Tokens]</c>. Prefetches the next rows on the way.</summary>
    public static void Logits(in KvTile tile, float* queries, int heads, int headDim, float* scores)
    {
        int pairs = Pairs(headDim), last = FirstChannel(pairs - 1, headDim) * TElement.Bytes;
        int width = pairs * 2 * V.Count;
        bool prefetch = true;
        for (int h = 0; h < heads; prefetch = false)
        {
            if (heads - h >= 4) Logits4(tile, queries + h * width, pairs, last, scores + h * KvTile.Tokens, prefetch);
            else if (heads - h >= 2) Logits2(tile, queries + h * width, pairs, last, scores + h * KvTile.Tokens, prefetch);
            else Logits1(tile, queries + h * width, pairs, last, scores + h * KvTile.Tokens, prefetch);
            h += heads - h >= 4 ? 4 : heads - h >= 2 ? 2 : 1;
        }
    }

    /// <summary>sums += weights · V for <paramref name="heads"/> heads; <paramref name="weights"/> <c>[head][KvTile.Tokens]</c>. Prefetches the next rows on the way.</summary>
    public static void Accumulate(in KvTile tile, float* weights, int heads, int headDim, float* sums, int stride)
    {
        int pairs = Pairs(headDim), last = FirstChannel(pairs - 1, headDim) * TElement.Bytes;
        bool prefetch = true;
        for (int h = 0; h < heads; prefetch = false)
        {
            if (heads - h >= 4) Accumulate4(tile, weights + h * KvTile.Tokens, pairs, last, sums + (long)h * stride, stride, prefetch);
            else if (heads - h >= 2) Accumulate2(tile, weights + h * KvTile.Tokens, pairs, last, sums + (long)h * stride, stride, prefetch);
            else Accumulate1(tile, weights + h * KvTile.Tokens, pairs, last, sums + (long)h * stride, prefetch);
            h += heads - h >= 4 ? 4 : heads - h >= 2 ? 2 : 1;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Logits1(in KvTile tile, float* q, int pairs, int last, float* scores, bool prefetch)
    {
        int step = 2 * V.Count * TElement.Bytes, count = tile.Count, next = prefetch ? tile.NextCount : 0;
        for (int t = 0; t < count; t += 4)
        {
            if (t < next) Prefetch4(tile, t);
            byte* k0 = tile.Base + tile.Offsets[t], k1 = tile.Base + tile.Offsets[t + 1], k2 = tile.Base + tile.Offsets[t + 2], k3 = tile.Base + tile.Offsets[t + 3];
            V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero;
            float* channel = q;
            for (int p = 0, at = 0; p < pairs; p++, at += step, channel += 2 * V.Count)
            {
                int offset = Math.Min(at, last);
                V even = V.Load(channel), odd = V.Load(channel + V.Count);
                s0 = V.MultiplyAdd(TElement.First<V>(k0 + offset), even, s0);
                s1 = V.MultiplyAdd(TElement.First<V>(k1 + offset), even, s1);
                s2 = V.MultiplyAdd(TElement.First<V>(k2 + offset), even, s2);
                s3 = V.MultiplyAdd(TElement.First<V>(k3 + offset), even, s3);
                s0 = V.MultiplyAdd(TElement.Second<V>(k0 + offset), odd, s0);
                s1 = V.MultiplyAdd(TElement.Second<V>(k1 + offset), odd, s1);
                s2 = V.MultiplyAdd(TElement.Second<V>(k2 + offset), odd, s2);
                s3 = V.MultiplyAdd(TElement.Second<V>(k3 + offset), odd, s3);
            }
            V.Sum4(s0, s1, s2, s3).Store(scores + t);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Logits2(in KvTile tile, float* q, int pairs, int last, float* scores, bool prefetch)
    {
        int step = 2 * V.Count * TElement.Bytes, width = pairs * 2 * V.Count, count = tile.Count, next = prefetch ? tile.NextCount : 0;
        for (int t = 0; t < count; t += 4)
        {
            if (t < next) Prefetch4(tile, t);
            byte* k0 = tile.Base + tile.Offsets[t], k1 = tile.Base + tile.Offsets[t + 1], k2 = tile.Base + tile.Offsets[t + 2], k3 = tile.Base + tile.Offsets[t + 3];
            V a0 = V.Zero, a1 = V.Zero, a2 = V.Zero, a3 = V.Zero;
            V b0 = V.Zero, b1 = V.Zero, b2 = V.Zero, b3 = V.Zero;
            float* channel = q;
            for (int p = 0, at = 0; p < pairs; p++, at += step, channel += 2 * V.Count)
            {
                int offset = Math.Min(at, last);
                V a = V.Load(channel), b = V.Load(channel + width);
                V k = TElement.First<V>(k0 + offset);
                a0 = V.MultiplyAdd(k, a, a0);
                b0 = V.MultiplyAdd(k, b, b0);
                k = TElement.First<V>(k1 + offset);
                a1 = V.MultiplyAdd(k, a, a1);
                b1 = V.MultiplyAdd(k, b, b1);
                k = TElement.First<V>(k2 + offset);
                a2 = V.MultiplyAdd(k, a, a2);
                b2 = V.MultiplyAdd(k, b, b2);
                k = TElement.First<V>(k3 + offset);
                a3 = V.MultiplyAdd(k, a, a3);
                b3 = V.MultiplyAdd(k, b, b3);
                a = V.Load(channel + V.Count);
                b = V.Load(channel + width + V.Count);
                k = TElement.Second<V>(k0 + offset);
                a0 = V.MultiplyAdd(k, a, a0);
                b0 = V.MultiplyAdd(k, b, b0);
                k = TElement.Second<V>(k1 + offset);
                a1 = V.MultiplyAdd(k, a, a1);
                b1 = V.MultiplyAdd(k, b, b1);
                k = TElement.Second<V>(k2 + offset);
                a2 = V.MultiplyAdd(k, a, a2);
                b2 = V.MultiplyAdd(k, b, b2);
                k = TElement.Second<V>(k3 + offset);
                a3 = V.MultiplyAdd(k, a, a3);
                b3 = V.MultiplyAdd(k, b, b3);
            }
            V.Sum4(a0, a1, a2, a3).Store(scores + t);
            V.Sum4(b0, b1, b2, b3).Store(scores + KvTile.Tokens + t);
        }
    }

    // Two tokens by four heads: eight sums, which leave room for the queries in sixteen registers as in thirty-two.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Logits4(in KvTile tile, float* q, int pairs, int last, float* scores, bool prefetch)
    {
        int step = 2 * V.Count * TElement.Bytes, width = pairs * 2 * V.Count, count = tile.Count, next = prefetch ? tile.NextCount : 0;
        for (int t = 0; t < count; t += 2)
        {
            if (t < next && (t & 2) == 0) Prefetch4(tile, t);
            byte* k0 = tile.Base + tile.Offsets[t], k1 = tile.Base + tile.Offsets[t + 1];
            V a0 = V.Zero, b0 = V.Zero, c0 = V.Zero, d0 = V.Zero;
            V a1 = V.Zero, b1 = V.Zero, c1 = V.Zero, d1 = V.Zero;
            float* channel = q;
            for (int p = 0, at = 0; p < pairs; p++, at += step, channel += 2 * V.Count)
            {
                int offset = Math.Min(at, last);
                for (int half = 0; half < 2; half++)
                {
                    float* from = channel + half * V.Count;
                    V x = half == 0 ? TElement.First<V>(k0 + offset) : TElement.Second<V>(k0 + offset);
                    V y = half == 0 ? TElement.First<V>(k1 + offset) : TElement.Second<V>(k1 + offset);
                    V query = V.Load(from);
                    a0 = V.MultiplyAdd(x, query, a0);
                    a1 = V.MultiplyAdd(y, query, a1);
                    query = V.Load(from + width);
                    b0 = V.MultiplyAdd(x, query, b0);
                    b1 = V.MultiplyAdd(y, query, b1);
                    query = V.Load(from + 2 * width);
                    c0 = V.MultiplyAdd(x, query, c0);
                    c1 = V.MultiplyAdd(y, query, c1);
                    query = V.Load(from + 3 * width);
                    d0 = V.MultiplyAdd(x, query, d0);
                    d1 = V.MultiplyAdd(y, query, d1);
                }
            }
            var first = V.Sum4(a0, b0, c0, d0);
            var second = V.Sum4(a1, b1, c1, d1);
            for (int h = 0; h < 4; h++)
            {
                scores[h * KvTile.Tokens + t] = first[h];
                scores[h * KvTile.Tokens + t + 1] = second[h];
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Accumulate1(in KvTile tile, float* weights, int pairs, int last, float* sums, bool prefetch)
    {
        int step = 2 * V.Count * TElement.Bytes, count = tile.Count;
        int next = prefetch ? tile.NextCount : 0;
        int pair = 0;
        for (; pair + 2 <= pairs; pair += 2, sums += 4 * V.Count)
        {
            byte* v = tile.Base + pair * step;
            int second = Math.Min((pair + 1) * step, last) - pair * step;
            V s0 = V.Load(sums), s1 = V.Load(sums + V.Count), s2 = V.Load(sums + 2 * V.Count), s3 = V.Load(sums + 3 * V.Count);
            for (int t = 0; t < count; t++)
            {
                if (t < next && (t & 3) == 0) Prefetch4(tile, t);
                byte* row = v + tile.Offsets[t];
                V w = V.Create(weights[t]);
                s0 = V.MultiplyAdd(TElement.First<V>(row), w, s0);
                s1 = V.MultiplyAdd(TElement.Second<V>(row), w, s1);
                s2 = V.MultiplyAdd(TElement.First<V>(row + second), w, s2);
                s3 = V.MultiplyAdd(TElement.Second<V>(row + second), w, s3);
            }
            next = 0;
            V.Store(s0, sums);
            V.Store(s1, sums + V.Count);
            V.Store(s2, sums + 2 * V.Count);
            V.Store(s3, sums + 3 * V.Count);
        }
        if (pair < pairs)
        {
            byte* v = tile.Base + Math.Min(pair * step, last);
            V s0 = V.Load(sums), s1 = V.Load(sums + V.Count);
            for (int t = 0; t < count; t++)
            {
                if (t < next && (t & 3) == 0) Prefetch4(tile, t);
                byte* row = v + tile.Offsets[t];
                V w = V.Create(weights[t]);
                s0 = V.MultiplyAdd(TElement.First<V>(row), w, s0);
                s1 = V.MultiplyAdd(TElement.Second<V>(row), w, s1);
            }
            V.Store(s0, sums);
            V.Store(s1, sums + V.Count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Accumulate2(in KvTile tile, float* weights, int pairs, int last, float* sums, int stride, bool prefetch)
    {
        int step = 2 * V.Count * TElement.Bytes, count = tile.Count;
        int next = prefetch ? tile.NextCount : 0;
        for (int pair = 0; pair < pairs; pair++, sums += 2 * V.Count)
        {
            byte* v = tile.Base + Math.Min(pair * step, last);
            V a0 = V.Load(sums), a1 = V.Load(sums + V.Count);
            V b0 = V.Load(sums + stride), b1 = V.Load(sums + stride + V.Count);
            for (int t = 0; t < count; t++)
            {
                if (t < next && (t & 3) == 0) Prefetch4(tile, t);
                byte* row = v + tile.Offsets[t];
                V x = TElement.First<V>(row), y = TElement.Second<V>(row);
                V w = V.Create(weights[t]);
                a0 = V.MultiplyAdd(x, w, a0);
                a1 = V.MultiplyAdd(y, w, a1);
                w = V.Create(weights[KvTile.Tokens + t]);
                b0 = V.MultiplyAdd(x, w, b0);
                b1 = V.MultiplyAdd(y, w, b1);
            }
            next = 0;
            V.Store(a0, sums);
            V.Store(a1, sums + V.Count);
            V.Store(b0, sums + stride);
            V.Store(b1, sums + stride + V.Count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Accumulate4(in KvTile tile, float* weights, int pairs, int last, float* sums, int stride, bool prefetch)
    {
        int step = 2 * V.Count * TElement.Bytes, count = tile.Count;
        int next = prefetch ? tile.NextCount : 0;
        for (int pair = 0; pair < pairs; pair++, sums += 2 * V.Count)
        {
            byte* v = tile.Base + Math.Min(pair * step, last);
            float* b = sums + stride, c = b + stride, d = c + stride;
            V a0 = V.Load(sums), a1 = V.Load(sums + V.Count), b0 = V.Load(b), b1 = V.Load(b + V.Count);
            V c0 = V.Load(c), c1 = V.Load(c + V.Count), d0 = V.Load(d), d1 = V.Load(d + V.Count);
            for (int t = 0; t < count; t++)
            {
                if (t < next && (t & 3) == 0) Prefetch4(tile, t);
                byte* row = v + tile.Offsets[t];
                V x = TElement.First<V>(row), y = TElement.Second<V>(row);
                V w = V.Create(weights[t]);
                a0 = V.MultiplyAdd(x, w, a0);
                a1 = V.MultiplyAdd(y, w, a1);
                w = V.Create(weights[KvTile.Tokens + t]);
                b0 = V.MultiplyAdd(x, w, b0);
                b1 = V.MultiplyAdd(y, w, b1);
                w = V.Create(weights[2 * KvTile.Tokens + t]);
                c0 = V.MultiplyAdd(x, w, c0);
                c1 = V.MultiplyAdd(y, w, c1);
                w = V.Create(weights[3 * KvTile.Tokens + t]);
                d0 = V.MultiplyAdd(x, w, d0);
                d1 = V.MultiplyAdd(y, w, d1);
            }
            next = 0;
            V.Store(a0, sums);
            V.Store(a1, sums + V.Count);
            V.Store(b0, b);
            V.Store(b1, b + V.Count);
            V.Store(c0, c);
            V.Store(c1, c + V.Count);
            V.Store(d0, d);
            V.Store(d1, d + V.Count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch4(in KvTile tile, int token)
    {
        if (!Sse.IsSupported) return;
        byte* rows = tile.NextBase;
        long* offsets = tile.NextOffsets + token;
        byte* r0 = rows + offsets[0], r1 = rows + offsets[1], r2 = rows + offsets[2], r3 = rows + offsets[3];
        for (int line = 0; line < tile.RowBytes; line += 64)
        {
            Sse.Prefetch0(r0 + line);
            Sse.Prefetch0(r1 + line);
            Sse.Prefetch0(r2 + line);
            Sse.Prefetch0(r3 + line);
        }
    }
}
