using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// The two passes over a tile of tokens: logits from K, and the weighted sum of V. One, two or four query heads share every load and conversion. Queries and sums are kept in the
/// order in which <typeparamref name="TElement"/> unpacks: <c>[head][pair][first or second][lane]</c>, a pair being 2·Count channels. When the head size is no multiple of that the
/// last pair starts early; the query is zero and the sum repeated where it overlaps.
/// </summary>
internal static unsafe class DecodeKernels<TLanes, TVector, TElement>
    where TLanes : struct, IVectorLanes<TVector>
    where TVector : struct
    where TElement : struct, IKvElement
{
    /// <summary>Pairs of vectors that cover <paramref name="headDim"/> channels.</summary>
    public static int Pairs(int headDim) => (headDim + 2 * TLanes.Count - 1) / (2 * TLanes.Count);

    /// <summary>First channel of <paramref name="pair"/>.</summary>
    public static int FirstChannel(int pair, int headDim) => Math.Min(pair * 2 * TLanes.Count, headDim - 2 * TLanes.Count);

    /// <summary>Logits of <paramref name="heads"/> heads: <paramref name="scores"/> <c>[head][KvTile.Tokens]</c>. Prefetches the next rows on the way.</summary>
    public static void Logits(in KvTile tile, float* queries, int heads, int headDim, float* scores)
    {
        int pairs = Pairs(headDim), last = FirstChannel(pairs - 1, headDim) * TElement.Bytes;
        int width = pairs * 2 * TLanes.Count;
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
        int step = 2 * TLanes.Count * TElement.Bytes, count = tile.Count, next = prefetch ? tile.NextCount : 0;
        for (int t = 0; t < count; t += 4)
        {
            if (t < next) Prefetch4(tile, t);
            byte* k0 = tile.Base + tile.Offsets[t], k1 = tile.Base + tile.Offsets[t + 1], k2 = tile.Base + tile.Offsets[t + 2], k3 = tile.Base + tile.Offsets[t + 3];
            TVector s0 = TLanes.Zero, s1 = TLanes.Zero, s2 = TLanes.Zero, s3 = TLanes.Zero;
            float* channel = q;
            for (int p = 0, at = 0; p < pairs; p++, at += step, channel += 2 * TLanes.Count)
            {
                int offset = Math.Min(at, last);
                TVector even = TLanes.Load(channel), odd = TLanes.Load(channel + TLanes.Count);
                s0 = TLanes.MultiplyAdd(TElement.First<TLanes, TVector>(k0 + offset), even, s0);
                s1 = TLanes.MultiplyAdd(TElement.First<TLanes, TVector>(k1 + offset), even, s1);
                s2 = TLanes.MultiplyAdd(TElement.First<TLanes, TVector>(k2 + offset), even, s2);
                s3 = TLanes.MultiplyAdd(TElement.First<TLanes, TVector>(k3 + offset), even, s3);
                s0 = TLanes.MultiplyAdd(TElement.Second<TLanes, TVector>(k0 + offset), odd, s0);
                s1 = TLanes.MultiplyAdd(TElement.Second<TLanes, TVector>(k1 + offset), odd, s1);
                s2 = TLanes.MultiplyAdd(TElement.Second<TLanes, TVector>(k2 + offset), odd, s2);
                s3 = TLanes.MultiplyAdd(TElement.Second<TLanes, TVector>(k3 + offset), odd, s3);
            }
            TLanes.Sum4(s0, s1, s2, s3).Store(scores + t);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Logits2(in KvTile tile, float* q, int pairs, int last, float* scores, bool prefetch)
    {
        int step = 2 * TLanes.Count * TElement.Bytes, width = pairs * 2 * TLanes.Count, count = tile.Count, next = prefetch ? tile.NextCount : 0;
        for (int t = 0; t < count; t += 4)
        {
            if (t < next) Prefetch4(tile, t);
            byte* k0 = tile.Base + tile.Offsets[t], k1 = tile.Base + tile.Offsets[t + 1], k2 = tile.Base + tile.Offsets[t + 2], k3 = tile.Base + tile.Offsets[t + 3];
            TVector a0 = TLanes.Zero, a1 = TLanes.Zero, a2 = TLanes.Zero, a3 = TLanes.Zero;
            TVector b0 = TLanes.Zero, b1 = TLanes.Zero, b2 = TLanes.Zero, b3 = TLanes.Zero;
            float* channel = q;
            for (int p = 0, at = 0; p < pairs; p++, at += step, channel += 2 * TLanes.Count)
            {
                int offset = Math.Min(at, last);
                TVector a = TLanes.Load(channel), b = TLanes.Load(channel + width);
                TVector k = TElement.First<TLanes, TVector>(k0 + offset);
                a0 = TLanes.MultiplyAdd(k, a, a0);
                b0 = TLanes.MultiplyAdd(k, b, b0);
                k = TElement.First<TLanes, TVector>(k1 + offset);
                a1 = TLanes.MultiplyAdd(k, a, a1);
                b1 = TLanes.MultiplyAdd(k, b, b1);
                k = TElement.First<TLanes, TVector>(k2 + offset);
                a2 = TLanes.MultiplyAdd(k, a, a2);
                b2 = TLanes.MultiplyAdd(k, b, b2);
                k = TElement.First<TLanes, TVector>(k3 + offset);
                a3 = TLanes.MultiplyAdd(k, a, a3);
                b3 = TLanes.MultiplyAdd(k, b, b3);
                a = TLanes.Load(channel + TLanes.Count);
                b = TLanes.Load(channel + width + TLanes.Count);
                k = TElement.Second<TLanes, TVector>(k0 + offset);
                a0 = TLanes.MultiplyAdd(k, a, a0);
                b0 = TLanes.MultiplyAdd(k, b, b0);
                k = TElement.Second<TLanes, TVector>(k1 + offset);
                a1 = TLanes.MultiplyAdd(k, a, a1);
                b1 = TLanes.MultiplyAdd(k, b, b1);
                k = TElement.Second<TLanes, TVector>(k2 + offset);
                a2 = TLanes.MultiplyAdd(k, a, a2);
                b2 = TLanes.MultiplyAdd(k, b, b2);
                k = TElement.Second<TLanes, TVector>(k3 + offset);
                a3 = TLanes.MultiplyAdd(k, a, a3);
                b3 = TLanes.MultiplyAdd(k, b, b3);
            }
            TLanes.Sum4(a0, a1, a2, a3).Store(scores + t);
            TLanes.Sum4(b0, b1, b2, b3).Store(scores + KvTile.Tokens + t);
        }
    }

    // Two tokens by four heads: eight sums, which leave room for the queries in sixteen registers as in thirty-two.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Logits4(in KvTile tile, float* q, int pairs, int last, float* scores, bool prefetch)
    {
        int step = 2 * TLanes.Count * TElement.Bytes, width = pairs * 2 * TLanes.Count, count = tile.Count, next = prefetch ? tile.NextCount : 0;
        for (int t = 0; t < count; t += 2)
        {
            if (t < next && (t & 2) == 0) Prefetch4(tile, t);
            byte* k0 = tile.Base + tile.Offsets[t], k1 = tile.Base + tile.Offsets[t + 1];
            TVector a0 = TLanes.Zero, b0 = TLanes.Zero, c0 = TLanes.Zero, d0 = TLanes.Zero;
            TVector a1 = TLanes.Zero, b1 = TLanes.Zero, c1 = TLanes.Zero, d1 = TLanes.Zero;
            float* channel = q;
            for (int p = 0, at = 0; p < pairs; p++, at += step, channel += 2 * TLanes.Count)
            {
                int offset = Math.Min(at, last);
                for (int half = 0; half < 2; half++)
                {
                    float* from = channel + half * TLanes.Count;
                    TVector x = half == 0 ? TElement.First<TLanes, TVector>(k0 + offset) : TElement.Second<TLanes, TVector>(k0 + offset);
                    TVector y = half == 0 ? TElement.First<TLanes, TVector>(k1 + offset) : TElement.Second<TLanes, TVector>(k1 + offset);
                    TVector query = TLanes.Load(from);
                    a0 = TLanes.MultiplyAdd(x, query, a0);
                    a1 = TLanes.MultiplyAdd(y, query, a1);
                    query = TLanes.Load(from + width);
                    b0 = TLanes.MultiplyAdd(x, query, b0);
                    b1 = TLanes.MultiplyAdd(y, query, b1);
                    query = TLanes.Load(from + 2 * width);
                    c0 = TLanes.MultiplyAdd(x, query, c0);
                    c1 = TLanes.MultiplyAdd(y, query, c1);
                    query = TLanes.Load(from + 3 * width);
                    d0 = TLanes.MultiplyAdd(x, query, d0);
                    d1 = TLanes.MultiplyAdd(y, query, d1);
                }
            }
            var first = TLanes.Sum4(a0, b0, c0, d0);
            var second = TLanes.Sum4(a1, b1, c1, d1);
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
        int step = 2 * TLanes.Count * TElement.Bytes, count = tile.Count;
        int next = prefetch ? tile.NextCount : 0;
        int pair = 0;
        for (; pair + 2 <= pairs; pair += 2, sums += 4 * TLanes.Count)
        {
            byte* v = tile.Base + pair * step;
            int second = Math.Min((pair + 1) * step, last) - pair * step;
            TVector s0 = TLanes.Load(sums), s1 = TLanes.Load(sums + TLanes.Count), s2 = TLanes.Load(sums + 2 * TLanes.Count), s3 = TLanes.Load(sums + 3 * TLanes.Count);
            for (int t = 0; t < count; t++)
            {
                if (t < next && (t & 3) == 0) Prefetch4(tile, t);
                byte* row = v + tile.Offsets[t];
                TVector w = TLanes.Fill(weights[t]);
                s0 = TLanes.MultiplyAdd(TElement.First<TLanes, TVector>(row), w, s0);
                s1 = TLanes.MultiplyAdd(TElement.Second<TLanes, TVector>(row), w, s1);
                s2 = TLanes.MultiplyAdd(TElement.First<TLanes, TVector>(row + second), w, s2);
                s3 = TLanes.MultiplyAdd(TElement.Second<TLanes, TVector>(row + second), w, s3);
            }
            next = 0;
            TLanes.Store(s0, sums);
            TLanes.Store(s1, sums + TLanes.Count);
            TLanes.Store(s2, sums + 2 * TLanes.Count);
            TLanes.Store(s3, sums + 3 * TLanes.Count);
        }
        if (pair < pairs)
        {
            byte* v = tile.Base + Math.Min(pair * step, last);
            TVector s0 = TLanes.Load(sums), s1 = TLanes.Load(sums + TLanes.Count);
            for (int t = 0; t < count; t++)
            {
                if (t < next && (t & 3) == 0) Prefetch4(tile, t);
                byte* row = v + tile.Offsets[t];
                TVector w = TLanes.Fill(weights[t]);
                s0 = TLanes.MultiplyAdd(TElement.First<TLanes, TVector>(row), w, s0);
                s1 = TLanes.MultiplyAdd(TElement.Second<TLanes, TVector>(row), w, s1);
            }
            TLanes.Store(s0, sums);
            TLanes.Store(s1, sums + TLanes.Count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Accumulate2(in KvTile tile, float* weights, int pairs, int last, float* sums, int stride, bool prefetch)
    {
        int step = 2 * TLanes.Count * TElement.Bytes, count = tile.Count;
        int next = prefetch ? tile.NextCount : 0;
        for (int pair = 0; pair < pairs; pair++, sums += 2 * TLanes.Count)
        {
            byte* v = tile.Base + Math.Min(pair * step, last);
            TVector a0 = TLanes.Load(sums), a1 = TLanes.Load(sums + TLanes.Count);
            TVector b0 = TLanes.Load(sums + stride), b1 = TLanes.Load(sums + stride + TLanes.Count);
            for (int t = 0; t < count; t++)
            {
                if (t < next && (t & 3) == 0) Prefetch4(tile, t);
                byte* row = v + tile.Offsets[t];
                TVector x = TElement.First<TLanes, TVector>(row), y = TElement.Second<TLanes, TVector>(row);
                TVector w = TLanes.Fill(weights[t]);
                a0 = TLanes.MultiplyAdd(x, w, a0);
                a1 = TLanes.MultiplyAdd(y, w, a1);
                w = TLanes.Fill(weights[KvTile.Tokens + t]);
                b0 = TLanes.MultiplyAdd(x, w, b0);
                b1 = TLanes.MultiplyAdd(y, w, b1);
            }
            next = 0;
            TLanes.Store(a0, sums);
            TLanes.Store(a1, sums + TLanes.Count);
            TLanes.Store(b0, sums + stride);
            TLanes.Store(b1, sums + stride + TLanes.Count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Accumulate4(in KvTile tile, float* weights, int pairs, int last, float* sums, int stride, bool prefetch)
    {
        int step = 2 * TLanes.Count * TElement.Bytes, count = tile.Count;
        int next = prefetch ? tile.NextCount : 0;
        for (int pair = 0; pair < pairs; pair++, sums += 2 * TLanes.Count)
        {
            byte* v = tile.Base + Math.Min(pair * step, last);
            float* b = sums + stride, c = b + stride, d = c + stride;
            TVector a0 = TLanes.Load(sums), a1 = TLanes.Load(sums + TLanes.Count), b0 = TLanes.Load(b), b1 = TLanes.Load(b + TLanes.Count);
            TVector c0 = TLanes.Load(c), c1 = TLanes.Load(c + TLanes.Count), d0 = TLanes.Load(d), d1 = TLanes.Load(d + TLanes.Count);
            for (int t = 0; t < count; t++)
            {
                if (t < next && (t & 3) == 0) Prefetch4(tile, t);
                byte* row = v + tile.Offsets[t];
                TVector x = TElement.First<TLanes, TVector>(row), y = TElement.Second<TLanes, TVector>(row);
                TVector w = TLanes.Fill(weights[t]);
                a0 = TLanes.MultiplyAdd(x, w, a0);
                a1 = TLanes.MultiplyAdd(y, w, a1);
                w = TLanes.Fill(weights[KvTile.Tokens + t]);
                b0 = TLanes.MultiplyAdd(x, w, b0);
                b1 = TLanes.MultiplyAdd(y, w, b1);
                w = TLanes.Fill(weights[2 * KvTile.Tokens + t]);
                c0 = TLanes.MultiplyAdd(x, w, c0);
                c1 = TLanes.MultiplyAdd(y, w, c1);
                w = TLanes.Fill(weights[3 * KvTile.Tokens + t]);
                d0 = TLanes.MultiplyAdd(x, w, d0);
                d1 = TLanes.MultiplyAdd(y, w, d1);
            }
            next = 0;
            TLanes.Store(a0, sums);
            TLanes.Store(a1, sums + TLanes.Count);
            TLanes.Store(b0, b);
            TLanes.Store(b1, b + TLanes.Count);
            TLanes.Store(c0, c);
            TLanes.Store(c1, c + TLanes.Count);
            TLanes.Store(d0, d);
            TLanes.Store(d1, d + TLanes.Count);
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
