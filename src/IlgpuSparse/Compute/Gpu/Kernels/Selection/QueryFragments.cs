using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// The queries of a set as right-hand fragments of <see cref="TensorCore"/>: columns 2h and 2h + 1 are the upper and the lower 11 bits of query h of a tile of four, so
/// that their sum is the product with 22 bits of the query.
/// </summary>
/// <remarks>
/// A query (times the quantiser steps) is scaled by a power of two so that its largest channel lies in [2^14, 2^15). The halves of the left side are codes that sit somewhere in the
/// mantissa bits of a half with exponent zero, so subnormal numbers code · 2^(place − 24), which tensor cores multiply exactly: spreading codes costs one AND a pair. The place is
/// taken out of the query here.
/// </remarks>
internal static class QueryFragments
{
    /// <summary>Queries a tile.</summary>
    public const int TileHeads = 4;

    /// <summary>Most channels.</summary>
    public const int MaxChannels = 128;

    /// <summary>
    /// Fills <paramref name="fragments"/> <c>[tile, pair of registers, lane]</c> and, for each head, the factor and summand that make scores of its products. The whole group
    /// calls; <paramref name="queries"/> is shared memory for all the tiles' queries, free again after the barrier that ends this.
    /// </summary>
    public static void Build<TBits, TWords>(LabelView labels, ScoreView score, int row, int set, int tiles, ArrayView<float> queries, ArrayView<U2> fragments, ArrayView<float> factors, ArrayView<float> summands)
        where TBits : struct, ILabelBits
        where TWords : struct, IKernelCount
    {
        int firstHead = set * score.HeadsPerSet, kvHead = firstHead / score.GroupSize;
        int warps = Group.DimX >> 5, lane = Group.IdxX & 31;
        for (int head = Group.IdxX >> 5; head < tiles * TileHeads; head += warps)
            Scale<TBits>(labels, score, row, firstHead, kvHead * labels.ChannelCount, head, lane, queries, factors, summands);
        Group.Barrier();

        int pairs = TWords.Value * TBits.Pairs >> 1;
        for (int tile = 0; tile < tiles; tile++)
        {
            for (int i = Group.IdxX; i < pairs * 32; i += Group.DimX)
            {
                int column = (i & 31) >> 2, word = i & 3, register = 2 * (i >> 5);
                int query = (tile * TileHeads + (column >> 1)) * MaxChannels;
                fragments[tile * pairs * 32 + i] = new U2
                {
                    X = Pair<TBits>(labels, queries, query, word, register, column & 1),
                    Y = Pair<TBits>(labels, queries, query, word, register + 1, column & 1),
                };
            }
        }
        Group.Barrier();
    }

    // One query a warp: times the steps, scaled, with what makes scores of the products.
    private static void Scale<TBits>(LabelView labels, ScoreView score, int row, int firstHead, int channels, int head, int lane, ArrayView<float> queries, ArrayView<float> factors, ArrayView<float> summands)
        where TBits : struct, ILabelBits
    {
        bool present = head < (score.Sum != 0 ? 1 : score.HeadsPerSet);
        int own = head * MaxChannels + lane;
        float largest = 0f, sum = 0f;
        for (int i = 0; i < MaxChannels / 32; i++)
        {
            int c = lane + 32 * i;
            // without a branch, so that the loads of all four start together
            int inside = Math.Min(c, labels.ChannelCount - 1);
            float value = score.Query(row, firstHead, present ? head : 0, labels.Channels[channels + inside]);
            if (labels.Static != 0) value *= labels.Steps[channels + inside];
            value = present && c < labels.ChannelCount ? value : 0f;
            queries[own + 32 * i] = value; // each lane scales its own below; an array here would lie in local memory
            largest = Math.Max(largest, Math.Abs(value));
            sum += value;
        }
        for (int d = 0; d < 5; d++)
        {
            largest = Math.Max(largest, Warp.ShuffleXor(largest, 1 << d));
            sum += Warp.ShuffleXor(sum, 1 << d);
        }
        int exponent = (int)(Interop.FloatAsInt(largest) >> 23);
        float up = PowerOfTwo(141 - exponent), down = PowerOfTwo(exponent - 141 + (TBits.Bits == 16 ? 0 : 24));
        for (int i = 0; i < MaxChannels / 32; i++) queries[own + 32 * i] *= up;
        if (lane == 0)
        {
            factors[head] = present ? down * score.Scale : 0f;
            float summand = 0f;
            if (TBits.Bits != 16) summand = labels.PerToken != 0 ? sum * score.Scale : -0.5f * ((1 << TBits.Bits) - 1) * sum * score.Scale;
            summands[head] = summand;
        }
    }

    private static float PowerOfTwo(int exponent) => Interop.IntAsFloat((uint)Math.Min(Math.Max(exponent + 127, 1), 254) << 23);

    // The two queries' halves that meet register number `register` of a lane of the left side.
    private static uint Pair<TBits>(LabelView labels, ArrayView<float> queries, int query, int lane, int register, int part)
        where TBits : struct, ILabelBits
    {
        int word = lane + 4 * (register >> TBits.PairShift), place = register & (TBits.Pairs - 1);
        uint packed = 0;
        if (word < labels.Words)
        {
            int c = query + word * 2 * TBits.Pairs + place;
            float factor = 1f;
            if (TBits.Bits != 16) factor = PowerOfTwo(-TBits.Bits * (place % TBits.InMantissa));
            packed = Part(queries[c] * factor, part) | (Part(queries[c + TBits.Pairs] * factor, part) << 16);
        }
        return packed;
    }

    private static uint Part(float x, int part)
    {
        uint upper = HalfBits.Round(x), lower = HalfBits.Round(x - Ptx.HalfLow(upper));
        return part == 0 ? upper : lower;
    }
}
