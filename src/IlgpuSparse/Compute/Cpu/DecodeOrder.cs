using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// The order in which queries and sums of decode attention are kept, that in which <typeparamref name="TElement"/> unpacks: <c>[head][pair][first or second][lane]</c>, a pair being 2·Count channels. When
/// the head size is no multiple of that the last pair starts early; the query is zero and the sum repeated where it overlaps.
/// </summary>
internal static unsafe class DecodeOrder<V, TElement>
    where V : struct, ISimd<V>
    where TElement : struct, IKvElement
{
    /// <summary>Most tokens of a tile, and the distance of two heads' logits in it: a block, the longest run of rows.</summary>
    public const int TileTokens = KvLayer.BlockTokens;

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
}
