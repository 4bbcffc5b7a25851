using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Attention of one head of four pairs of vectors (128 channels on 512-bit registers) to tokens anywhere, four at a time: their logits, their weights, their weighted values. The query and the sums
/// stay in registers, rows are used in the order in which they arrive, and memory never waits for the softmax of a tile.
/// </summary>
internal static unsafe class FourPairAttention<V, TElement>
    where V : struct, ISimd<V>
    where TElement : struct, IKvElement
{
    /// <summary>Tokens ahead whose rows are fetched: the bytes that memory delivers to one core in its latency, and no more than its first-level cache keeps.</summary>
    public const int Ahead = 16;

    /// <summary>Tokens a step. A list is filled up to a multiple of it, and by <see cref="Ahead"/> more, with rows that may be fetched.</summary>
    public const int Group = 4;

    /// <summary>Channels of the only head size.</summary>
    public static int HeadDim => 8 * V.Count;

    /// <summary>Goes on with a running softmax. As many methods are inlined here as the compiler takes: were the loops over four tokens written out, or anything called, the sums would go through memory.</summary>
    /// <param name="kCache">The buffer of K.</param>
    /// <param name="vCache">The buffer of V.</param>
    /// <param name="rows">Rows of both; the first <paramref name="count"/> are attended to, those behind them fetched.</param>
    /// <param name="count">Tokens, at least one.</param>
    /// <param name="kScales">A scale a row of K, or null.</param>
    /// <param name="vScales">A scale a row of V, or null.</param>
    /// <param name="query">The query in the order of <see cref="DecodeOrder{V, TElement}"/>.</param>
    /// <param name="maximum">The largest logit so far.</param>
    /// <param name="sum">The sum of the weights relative to it.</param>
    /// <param name="values">The sum of the weighted values, in that order.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Run(byte* kCache, byte* vCache, int* rows, int count, float* kScales, float* vScales, float* query, ref float maximum, ref float sum, float* values)
    {
        var constants = TElement.Constants<V>();
        int pair = 2 * V.Count * TElement.Bytes, rowBytes = 4 * pair;
        float most = maximum;
        var sums = Vector128.CreateScalar(sum);
        float* weights = stackalloc float[Group], partial = stackalloc float[Group * V.Count];
        V q0 = V.Load(query), q1 = V.Load(query + V.Count), q2 = V.Load(query + 2 * V.Count), q3 = V.Load(query + 3 * V.Count);
        V q4 = V.Load(query + 4 * V.Count), q5 = V.Load(query + 5 * V.Count), q6 = V.Load(query + 6 * V.Count), q7 = V.Load(query + 7 * V.Count);
        V a0 = V.Load(values), a1 = V.Load(values + V.Count), a2 = V.Load(values + 2 * V.Count), a3 = V.Load(values + 3 * V.Count);
        V a4 = V.Load(values + 4 * V.Count), a5 = V.Load(values + 5 * V.Count), a6 = V.Load(values + 6 * V.Count), a7 = V.Load(values + 7 * V.Count);
        for (int* end = rows + count; rows < end; rows += Group)
        {
            for (int i = 0; i < Group; i++)
            {
                Fetch(kCache + (long)rows[Ahead + i] * rowBytes);
                byte* k = kCache + (long)rows[i] * rowBytes;
                V first = V.Multiply(TElement.First(k, constants), q0), second = V.Multiply(TElement.Second(k, constants), q1);
                first = V.MultiplyAdd(TElement.First(k + pair, constants), q2, first);
                second = V.MultiplyAdd(TElement.Second(k + pair, constants), q3, second);
                first = V.MultiplyAdd(TElement.First(k + 2 * pair, constants), q4, first);
                second = V.MultiplyAdd(TElement.Second(k + 2 * pair, constants), q5, second);
                first = V.MultiplyAdd(TElement.First(k + 3 * pair, constants), q6, first);
                second = V.MultiplyAdd(TElement.Second(k + 3 * pair, constants), q7, second);
                V.Store(V.Add(first, second), partial + i * V.Count);
            }
            var logits = V.Sum4(V.Load(partial), V.Load(partial + V.Count), V.Load(partial + 2 * V.Count), V.Load(partial + 3 * V.Count));
            if (kScales != null) logits *= Scales(kScales, rows);
            if (TElement.Remainder != 1f) logits *= TElement.Remainder;
            if (end - rows < Group) logits = Vector128.ConditionalSelect(Vector128.LessThan(Vector128<int>.Indices, Vector128.Create((int)(end - rows))).AsSingle(), logits, Vector128.Create(float.NegativeInfinity));
            var halves = Vector128.MaxNative(logits, Vector128.Shuffle(logits, Vector128.Create(2, 3, 0, 1)));
            float largest = float.MaxNative(halves[0], halves[1]);
            if (largest > most)
            {
                float keep = Exp2<Simd128>.Of(Simd128.Create(most - largest)).Value.ToScalar();
                most = largest;
                sums *= keep;
                V factor = V.Create(keep);
                a0 = V.Multiply(a0, factor);
                a1 = V.Multiply(a1, factor);
                a2 = V.Multiply(a2, factor);
                a3 = V.Multiply(a3, factor);
                a4 = V.Multiply(a4, factor);
                a5 = V.Multiply(a5, factor);
                a6 = V.Multiply(a6, factor);
                a7 = V.Multiply(a7, factor);
            }
            var weight = Exp2<Simd128>.Of(new(logits - Vector128.Create(most))).Value;
            sums += weight;
            if (TElement.Remainder != 1f) weight *= TElement.Remainder;
            if (vScales != null) weight *= Scales(vScales, rows);
            weight.Store(weights);
            for (int i = 0; i < Group; i++)
            {
                Fetch(vCache + (long)rows[Ahead + i] * rowBytes);
                byte* v = vCache + (long)rows[i] * rowBytes;
                V w = V.Create(weights[i]);
                a0 = V.MultiplyAdd(TElement.First(v, constants), w, a0);
                a1 = V.MultiplyAdd(TElement.Second(v, constants), w, a1);
                a2 = V.MultiplyAdd(TElement.First(v + pair, constants), w, a2);
                a3 = V.MultiplyAdd(TElement.Second(v + pair, constants), w, a3);
                a4 = V.MultiplyAdd(TElement.First(v + 2 * pair, constants), w, a4);
                a5 = V.MultiplyAdd(TElement.Second(v + 2 * pair, constants), w, a5);
                a6 = V.MultiplyAdd(TElement.First(v + 3 * pair, constants), w, a6);
                a7 = V.MultiplyAdd(TElement.Second(v + 3 * pair, constants), w, a7);
            }
        }
        maximum = most;
        sum = Vector128.Sum(sums);
        V.Store(a0, values);
        V.Store(a1, values + V.Count);
        V.Store(a2, values + 2 * V.Count);
        V.Store(a3, values + 3 * V.Count);
        V.Store(a4, values + 4 * V.Count);
        V.Store(a5, values + 5 * V.Count);
        V.Store(a6, values + 6 * V.Count);
        V.Store(a7, values + 7 * V.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Scales(float* scales, int* rows) => Vector128.Create(scales[rows[0]], scales[rows[1]], scales[rows[2]], scales[rows[3]]);

    // A row's lines one after the other: the same lines of several rows in turn took a third longer.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Fetch(byte* row)
    {
        if (!Sse.IsSupported) return;
        Sse.Prefetch0(row);
        if (8 * V.Count * TElement.Bytes > 64) Sse.Prefetch0(row + 64);
        if (8 * V.Count * TElement.Bytes > 128) Sse.Prefetch0(row + 128);
        if (8 * V.Count * TElement.Bytes > 192) Sse.Prefetch0(row + 192);
        for (int line = 256; line < 8 * V.Count * TElement.Bytes; line += 64) Sse.Prefetch0(row + line);
    }
}
