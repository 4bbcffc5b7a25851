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

    /// <summary>A query scaled to logits in units of log 2, in the order in which the elements unpack: <paramref name="prepared"/> is 2·Count numbers a pair.</summary>
    public static void PrepareQuery(float* q, int headDim, float scale, float* prepared)
    {
        float factor = scale * 1.44269504f * TElement.Unit;
        int pairs = Pairs(headDim);
        for (int p = 0; p < pairs; p++, prepared += 2 * V.Count)
        {
            int first = FirstChannel(p, headDim);
            for (int i = 0; i < 2 * V.Count; i++) prepared[Slot(i)] = first + i < p * 2 * V.Count ? 0 : q[first + i] * factor;
        }
    }

    /// <summary>Weighted values over the <paramref name="sum"/> of their weights, back in the order of the channels; zeros when there are none.</summary>
    public static void Finish(float* values, float sum, int headDim, float* y)
    {
        float factor = sum == 0 ? 0 : TElement.Unit / sum;
        int pairs = Pairs(headDim);
        for (int p = 0; p < pairs; p++, values += 2 * V.Count)
        {
            int first = FirstChannel(p, headDim);
            for (int i = 0; i < 2 * V.Count; i++) y[first + i] = values[Slot(i)] * factor;
        }
    }

    /// <summary>A row as it unpacks, 2·Count floats a pair, the pairs <paramref name="stride"/> floats apart; times <paramref name="scale"/> where elements have one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Unpack(byte* row, int headDim, float scale, float* target, long stride)
    {
        var constants = TElement.Constants<V>();
        int pairs = Pairs(headDim);
        for (int p = 0; p < pairs; p++, target += stride)
        {
            byte* source = row + FirstChannel(p, headDim) * TElement.Bytes;
            V first = TElement.First(source, constants), second = TElement.Second(source, constants);
            if (typeof(TElement) == typeof(Int8Element)) (first, second) = (V.Multiply(first, V.Create(scale)), V.Multiply(second, V.Create(scale)));
            V.Store(first, target);
            V.Store(second, target + V.Count);
        }
    }

    // Where a pair's channel i lies in the order of unpacking.
    private static int Slot(int i) => TElement.Interleaved ? (i & 1) * V.Count + (i >> 1) : i;

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

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Logits1(in KvTile tile, float* q, int pairs, int last, float* scores, bool prefetch)
    {
        var constants = TElement.Constants<V>();
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
    private static void Logits2(in KvTile tile, float* q, int pairs, int last, float* scores, bool prefetch)
    {
        var constants = TElement.Constants<V>();
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
            V.Sum4(b0, b1, b2, b3).Store(scores + KvTile.Tokens + t);
        }
    }

    // Two tokens by four heads: eight sums, which leave room for the queries in sixteen registers as in thirty-two.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Logits4(in KvTile tile, float* q, int pairs, int last, float* scores, bool prefetch)
    {
        var constants = TElement.Constants<V>();
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
                    V x = half == 0 ? TElement.First(k0 + offset, constants) : TElement.Second(k0 + offset, constants);
                    V y = half == 0 ? TElement.First(k1 + offset, constants) : TElement.Second(k1 + offset, constants);
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

    // Four pairs at a time: eight sums, so that the multiply-adds of a token do not wait for those of the one before.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Accumulate1(in KvTile tile, float* weights, int pairs, int last, float* sums, bool prefetch)
    {
        var constants = TElement.Constants<V>();
        int step = 2 * V.Count * TElement.Bytes, count = tile.Count;
        int next = prefetch ? tile.NextCount : 0;
        int pair = 0;
        for (; pair + 4 <= pairs; pair += 4, sums += 8 * V.Count)
        {
            byte* v = tile.Base + pair * step;
            int second = step, third = 2 * step, fourth = Math.Min((pair + 3) * step, last) - pair * step;
            V s0 = V.Load(sums), s1 = V.Load(sums + V.Count), s2 = V.Load(sums + 2 * V.Count), s3 = V.Load(sums + 3 * V.Count);
            V s4 = V.Load(sums + 4 * V.Count), s5 = V.Load(sums + 5 * V.Count), s6 = V.Load(sums + 6 * V.Count), s7 = V.Load(sums + 7 * V.Count);
            for (int t = 0; t < count; t++)
            {
                if (t < next) Prefetch1(tile, t);
                byte* row = v + tile.Offsets[t];
                V w = V.Create(weights[t]);
                s0 = V.MultiplyAdd(TElement.First(row, constants), w, s0);
                s1 = V.MultiplyAdd(TElement.Second(row, constants), w, s1);
                s2 = V.MultiplyAdd(TElement.First(row + second, constants), w, s2);
                s3 = V.MultiplyAdd(TElement.Second(row + second, constants), w, s3);
                s4 = V.MultiplyAdd(TElement.First(row + third, constants), w, s4);
                s5 = V.MultiplyAdd(TElement.Second(row + third, constants), w, s5);
                s6 = V.MultiplyAdd(TElement.First(row + fourth, constants), w, s6);
                s7 = V.MultiplyAdd(TElement.Second(row + fourth, constants), w, s7);
            }
            next = 0;
            V.Store(s0, sums);
            V.Store(s1, sums + V.Count);
            V.Store(s2, sums + 2 * V.Count);
            V.Store(s3, sums + 3 * V.Count);
            V.Store(s4, sums + 4 * V.Count);
            V.Store(s5, sums + 5 * V.Count);
            V.Store(s6, sums + 6 * V.Count);
            V.Store(s7, sums + 7 * V.Count);
        }
        for (; pair < pairs; pair++, sums += 2 * V.Count)
        {
            byte* v = tile.Base + Math.Min(pair * step, last);
            V s0 = V.Load(sums), s1 = V.Load(sums + V.Count), s2 = V.Zero, s3 = V.Zero;
            int t = 0;
            for (; t + 2 <= count; t += 2)
            {
                if (t < next) Prefetch1(tile, t);
                if (t + 1 < next) Prefetch1(tile, t + 1);
                byte* row = v + tile.Offsets[t], other = v + tile.Offsets[t + 1];
                V w = V.Create(weights[t]), u = V.Create(weights[t + 1]);
                s0 = V.MultiplyAdd(TElement.First(row, constants), w, s0);
                s1 = V.MultiplyAdd(TElement.Second(row, constants), w, s1);
                s2 = V.MultiplyAdd(TElement.First(other, constants), u, s2);
                s3 = V.MultiplyAdd(TElement.Second(other, constants), u, s3);
            }
            if (t < count)
            {
                if (t < next) Prefetch1(tile, t);
                byte* row = v + tile.Offsets[t];
                V w = V.Create(weights[t]);
                s0 = V.MultiplyAdd(TElement.First(row, constants), w, s0);
                s1 = V.MultiplyAdd(TElement.Second(row, constants), w, s1);
            }
            next = 0;
            V.Store(V.Add(s0, s2), sums);
            V.Store(V.Add(s1, s3), sums + V.Count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Accumulate2(in KvTile tile, float* weights, int pairs, int last, float* sums, int stride, bool prefetch)
    {
        var constants = TElement.Constants<V>();
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
                V x = TElement.First(row, constants), y = TElement.Second(row, constants);
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

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Accumulate4(in KvTile tile, float* weights, int pairs, int last, float* sums, int stride, bool prefetch)
    {
        var constants = TElement.Constants<V>();
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
                V x = TElement.First(row, constants), y = TElement.Second(row, constants);
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
    private static void Prefetch1(in KvTile tile, int token)
    {
        if (!Sse.IsSupported) return;
        byte* row = tile.NextBase + tile.NextOffsets[token];
        // Odd lines first: a row fetched in ascending order looks like a stream to the processor, which then fetches lines behind the row that nobody wants.
        for (int line = 64; line < tile.RowBytes; line += 128) Sse.Prefetch0(row + line);
        for (int line = 0; line < tile.RowBytes; line += 128) Sse.Prefetch0(row + line);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch4(in KvTile tile, int token)
    {
        for (int i = 0; i < 4; i++) Prefetch1(tile, token + i);
    }
}
