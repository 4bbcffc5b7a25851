using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Products of a warp's labels with a tile of queries.</summary>
internal static class LabelProduct
{
    /// <summary>
    /// Raises <c>best[unit · 4 + i]</c> to the score of token 4g + i of the unit with query lane % 4 of tile <paramref name="tile"/>, where there is such a query.
    /// </summary>
    public static void Accumulate<TBits, TWords, TUnits>(LabelView labels, int table, int kvHead, int token, int tile, int heads, U4[] words, ArrayView<U2> fragments,
        ArrayView<float> factors, ArrayView<float> summands, float[] best)
        where TBits : struct, ILabelBits
        where TWords : struct, IKernelCount
        where TUnits : struct, IKernelCount
    {
        int lane = Group.IdxX & 31, head = tile * QueryFragments.TileHeads + (lane & 3);
        int pairs = TWords.Value * TBits.Pairs >> 1;
        float factor = factors[head], summand = summands[head];
        var query = new U2[TWords.Value * TBits.Pairs];
        for (int m = 0; m < TWords.Slots * TBits.Pairs; m++)
        {
            if (2 * m < TWords.Value * TBits.Pairs) query[m] = fragments[(tile * pairs + m) * 32 + lane];
        }
        for (int u = 0; u < TUnits.Slots; u++)
        {
            if (u < TUnits.Value)
            {
                var low = new F4();
                var high = new F4();
                for (int m = 0; m < TWords.Slots * TBits.Pairs; m++)
                {
                    if (2 * m < TWords.Value * TBits.Pairs)
                    {
                        int left = 2 * m & (TBits.Pairs - 1), right = 2 * m + 1 & (TBits.Pairs - 1);
                        var a = words[u * TWords.Value + (2 * m >> TBits.PairShift)];
                        var b = words[u * TWords.Value + (2 * m + 1 >> TBits.PairShift)];
                        var lowRows = new U4 { X = Halves<TBits>(a.X, left), Y = Halves<TBits>(a.Y, left), Z = Halves<TBits>(b.X, right), W = Halves<TBits>(b.Y, right) };
                        var highRows = new U4 { X = Halves<TBits>(a.Z, left), Y = Halves<TBits>(a.W, left), Z = Halves<TBits>(b.Z, right), W = Halves<TBits>(b.W, right) };
                        low = m == 0 ? TensorCore.Multiply(lowRows, query[m]) : TensorCore.Multiply(lowRows, query[m], low);
                        high = m == 0 ? TensorCore.Multiply(highRows, query[m]) : TensorCore.Multiply(highRows, query[m], high);
                    }
                }
                float x = (low.X + low.Y) * factor, y = (low.Z + low.W) * factor, z = (high.X + high.Y) * factor, w = (high.Z + high.W) * factor;
                if (labels.PerToken != 0)
                {
                    int first = token + u * ScoreKernel.UnitTokens + (lane >> 2) * 4;
                    int block = labels.BlockTable[table + (first >> KvLayer.BlockShift)];
                    var scales = labels.TokenScales.Cast<U4>()[(((long)block * labels.KvHeads + kvHead) * KvLayer.BlockTokens + (first & (KvLayer.BlockTokens - 1))) >> 2];
                    x = x * Ptx.HalfLow(scales.X) + summand * Ptx.HalfHigh(scales.X);
                    y = y * Ptx.HalfLow(scales.Y) + summand * Ptx.HalfHigh(scales.Y);
                    z = z * Ptx.HalfLow(scales.Z) + summand * Ptx.HalfHigh(scales.Z);
                    w = w * Ptx.HalfLow(scales.W) + summand * Ptx.HalfHigh(scales.W);
                }
                else
                {
                    x += summand;
                    y += summand;
                    z += summand;
                    w += summand;
                }
                if (head < heads)
                {
                    best[u * 4] = Math.Max(best[u * 4], x);
                    best[u * 4 + 1] = Math.Max(best[u * 4 + 1], y);
                    best[u * 4 + 2] = Math.Max(best[u * 4 + 2], z);
                    best[u * 4 + 3] = Math.Max(best[u * 4 + 3], w);
                }
            }
        }
    }

    /// <summary>
    /// From four tokens' largest scores over the queries of a lane to the largest over the four lanes of the same tokens, for token lane % 4 of them: half of the values change lanes at
    /// each of two steps.
    /// </summary>
    public static float OwnToken(float x, float y, float z, float w)
    {
        bool upper = (Group.IdxX & 2) != 0, odd = (Group.IdxX & 1) != 0;
        float a = Warp.ShuffleXor(upper ? x : z, 2), b = Warp.ShuffleXor(upper ? y : w, 2);
        a = Math.Max(a, upper ? z : x);
        b = Math.Max(b, upper ? w : y);
        float c = Warp.ShuffleXor(odd ? a : b, 1);
        return Math.Max(c, odd ? b : a);
    }

    // Pair number `place` of a word's codes, each in the mantissa of a half: the low half holds code `place`, the high half the code 16 bits further.
    private static uint Halves<TBits>(uint word, int place)
        where TBits : struct, ILabelBits
    {
        if (TBits.Bits == 16) return word;
        int skipped = place / TBits.InMantissa * TBits.InMantissa;
        return (word >> (skipped * TBits.Bits)) & ((0x00010001u * ((1u << TBits.Bits) - 1u)) << ((place - skipped) * TBits.Bits));
    }
}
