using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>The second pass over a tile of tokens: the weighted sum of V. One, two or four query heads share every load and conversion.</summary>
internal static unsafe class ValueKernels<V, TElement>
    where V : struct, ISimd<V>
    where TElement : struct, IKvElement
{
    /// <summary>sums += weights · V for <paramref name="heads"/> heads; <paramref name="weights"/> <c>[head][TileTokens]</c>. Prefetches the next rows on the way.</summary>
    public static void Run<TRows>(in TRows rows, float* weights, int heads, int headDim, float* sums, int stride) where TRows : struct, IKvRows
    {
        int pairs = DecodeOrder<V, TElement>.Pairs(headDim), last = DecodeOrder<V, TElement>.FirstChannel(pairs - 1, headDim) * TElement.Bytes;
        bool prefetch = true;
        for (int h = 0; h < heads; prefetch = false)
        {
            if (heads - h >= 4) Heads4(rows, weights + h * DecodeOrder<V, TElement>.TileTokens, pairs, last, sums + (long)h * stride, stride, prefetch);
            else if (heads - h >= 2) Heads2(rows, weights + h * DecodeOrder<V, TElement>.TileTokens, pairs, last, sums + (long)h * stride, stride, prefetch);
            else Heads1(rows, weights + h * DecodeOrder<V, TElement>.TileTokens, pairs, last, sums + (long)h * stride, prefetch);
            h += heads - h >= 4 ? 4 : heads - h >= 2 ? 2 : 1;
        }
    }

    // Four pairs at a time: eight sums, so that the multiply-adds of a token do not wait for those of the one before.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Heads1<TRows>(in TRows tile, float* weights, int pairs, int last, float* sums, bool prefetch) where TRows : struct, IKvRows
    {
        TRows rows = tile; // a copy, so that its fields are in registers
        var constants = TElement.Constants<V>();
        int step = 2 * V.Count * TElement.Bytes, count = rows.Count;
        int pair = 0;
        for (; pair + 4 <= pairs; pair += 4, sums += 8 * V.Count)
        {
            int first = pair * step;
            int second = step, third = 2 * step, fourth = Math.Min(first + 3 * step, last) - first;
            V s0 = V.Load(sums), s1 = V.Load(sums + V.Count), s2 = V.Load(sums + 2 * V.Count), s3 = V.Load(sums + 3 * V.Count);
            V s4 = V.Load(sums + 4 * V.Count), s5 = V.Load(sums + 5 * V.Count), s6 = V.Load(sums + 6 * V.Count), s7 = V.Load(sums + 7 * V.Count);
            for (int t = 0; t < count; t++)
            {
                if (prefetch && first == 0) rows.FetchRows(t, 1);
                if (prefetch) rows.FetchPiece(t, 1, first, 4 * step);
                byte* row = rows.Row(t) + first;
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
            int at = Math.Min(pair * step, last);
            V s0 = V.Load(sums), s1 = V.Load(sums + V.Count), s2 = V.Zero, s3 = V.Zero;
            int t = 0;
            for (; t + 2 <= count; t += 2)
            {
                if (prefetch && pair == 0) rows.FetchRows(t, 2);
                if (prefetch) rows.FetchPiece(t, 1, pair * step, step);
                if (prefetch) rows.FetchPiece(t + 1, 1, pair * step, step);
                byte* row = rows.Row(t) + at, other = rows.Row(t + 1) + at;
                V w = V.Create(weights[t]), u = V.Create(weights[t + 1]);
                s0 = V.MultiplyAdd(TElement.First(row, constants), w, s0);
                s1 = V.MultiplyAdd(TElement.Second(row, constants), w, s1);
                s2 = V.MultiplyAdd(TElement.First(other, constants), u, s2);
                s3 = V.MultiplyAdd(TElement.Second(other, constants), u, s3);
            }
            if (t < count)
            {
                if (prefetch && pair == 0) rows.FetchRows(t, 1);
                if (prefetch) rows.FetchPiece(t, 1, pair * step, step);
                byte* row = rows.Row(t) + at;
                V w = V.Create(weights[t]);
                s0 = V.MultiplyAdd(TElement.First(row, constants), w, s0);
                s1 = V.MultiplyAdd(TElement.Second(row, constants), w, s1);
            }
            V.Store(V.Add(s0, s2), sums);
            V.Store(V.Add(s1, s3), sums + V.Count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Heads2<TRows>(in TRows tile, float* weights, int pairs, int last, float* sums, int stride, bool prefetch) where TRows : struct, IKvRows
    {
        TRows rows = tile; // a copy, so that its fields are in registers
        var constants = TElement.Constants<V>();
        int step = 2 * V.Count * TElement.Bytes, count = rows.Count;
        for (int pair = 0; pair < pairs; pair++, sums += 2 * V.Count)
        {
            int at = Math.Min(pair * step, last);
            V a0 = V.Load(sums), a1 = V.Load(sums + V.Count);
            V b0 = V.Load(sums + stride), b1 = V.Load(sums + stride + V.Count);
            float* weight = weights;
            for (int t = 0; t < count; t++, weight++)
            {
                if (prefetch && pair == 0) rows.FetchRows(t, 1);
                if (prefetch) rows.FetchPiece(t, 1, pair * step, step);
                byte* row = rows.Inside(t) + at;
                V x = TElement.First(row, constants), y = TElement.Second(row, constants);
                V w = V.Create(weight[0]);
                a0 = V.MultiplyAdd(x, w, a0);
                a1 = V.MultiplyAdd(y, w, a1);
                w = V.Create(weight[DecodeOrder<V, TElement>.TileTokens]);
                b0 = V.MultiplyAdd(x, w, b0);
                b1 = V.MultiplyAdd(y, w, b1);
            }
            V.Store(a0, sums);
            V.Store(a1, sums + V.Count);
            V.Store(b0, sums + stride);
            V.Store(b1, sums + stride + V.Count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Heads4<TRows>(in TRows tile, float* weights, int pairs, int last, float* sums, int stride, bool prefetch) where TRows : struct, IKvRows
    {
        TRows rows = tile; // a copy, so that its fields are in registers
        var constants = TElement.Constants<V>();
        int step = 2 * V.Count * TElement.Bytes, count = rows.Count;
        for (int pair = 0; pair < pairs; pair++, sums += 2 * V.Count)
        {
            int at = Math.Min(pair * step, last);
            float* b = sums + stride, c = b + stride, d = c + stride;
            V a0 = V.Load(sums), a1 = V.Load(sums + V.Count), b0 = V.Load(b), b1 = V.Load(b + V.Count);
            V c0 = V.Load(c), c1 = V.Load(c + V.Count), d0 = V.Load(d), d1 = V.Load(d + V.Count);
            float* weight = weights;
            for (int t = 0; t < count; t++, weight++)
            {
                if (prefetch && pair == 0) rows.FetchRows(t, 1);
                if (prefetch) rows.FetchPiece(t, 1, pair * step, step);
                byte* row = rows.Inside(t) + at;
                V x = TElement.First(row, constants), y = TElement.Second(row, constants);
                V w = V.Create(weight[0]);
                a0 = V.MultiplyAdd(x, w, a0);
                a1 = V.MultiplyAdd(y, w, a1);
                w = V.Create(weight[DecodeOrder<V, TElement>.TileTokens]);
                b0 = V.MultiplyAdd(x, w, b0);
                b1 = V.MultiplyAdd(y, w, b1);
                w = V.Create(weight[2 * DecodeOrder<V, TElement>.TileTokens]);
                c0 = V.MultiplyAdd(x, w, c0);
                c1 = V.MultiplyAdd(y, w, c1);
                w = V.Create(weight[3 * DecodeOrder<V, TElement>.TileTokens]);
                d0 = V.MultiplyAdd(x, w, d0);
                d1 = V.MultiplyAdd(y, w, d1);
            }
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
}
