using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Scores of a warp's labels with a tile of queries.</summary>
internal static class LabelProduct
{
    /// <summary>
    /// Raises <c>best[unit · 4 + i]</c> to the score of token 4g + i of the unit with query lane % 4 of tile <paramref name="tile"/>, or sets it if that is <paramref name="first"/> and only. Units are multiplied one beside the other:
    /// one alone is a chain of instructions that wait for each other. <paramref name="scores"/> is room for them.
    /// </summary>
    public static void Accumulate<TProduct, TWords, TUnits>(LabelView labels, int table, int kvHead, int token, int tile, U4[] words, ArrayView<U2> fragments, ArrayView<float> factors,
        ArrayView<float> summands, bool first, float[] best, F4[] scores)
        where TProduct : struct, ILabelProduct
        where TWords : struct, IKernelCount
        where TUnits : struct, IKernelCount
    {
        int lane = Group.IdxX & 31, head = tile * ScoreKernel.TileHeads + (lane & 3);
        float factor = factors[head], summand = summands[head];
        var query = Query<TProduct, TWords>(fragments, tile, lane);
        for (int u = 0; u < TUnits.Slots; u++)
        {
            if (u < TUnits.Value) scores[u] = TProduct.Multiply<TWords>(words, u * TWords.Value, query, factor);
        }
        if (labels.PerToken != 0)
        {
            for (int u = 0; u < TUnits.Slots; u++)
            {
                if (u < TUnits.Value)
                {
                    int four = token + u * ScoreKernel.UnitTokens + (lane >> 2) * 4;
                    var scales = labels.TokenScales.Cast<U4>()[labels.Scale(labels.BlockTable[table + (four >> KvLayer.BlockShift)], kvHead, four) >> 2];
                    scores[u].X = scores[u].X * Ptx.HalfLow(scales.X) + summand * Ptx.HalfHigh(scales.X);
                    scores[u].Y = scores[u].Y * Ptx.HalfLow(scales.Y) + summand * Ptx.HalfHigh(scales.Y);
                    scores[u].Z = scores[u].Z * Ptx.HalfLow(scales.Z) + summand * Ptx.HalfHigh(scales.Z);
                    scores[u].W = scores[u].W * Ptx.HalfLow(scales.W) + summand * Ptx.HalfHigh(scales.W);
                }
            }
            summand = 0f;
        }
        for (int u = 0; u < TUnits.Slots; u++)
        {
            if (u < TUnits.Value)
            {
                // where nothing was before, nothing takes registers while the products are made
                best[u * 4] = first ? scores[u].X + summand : Math.Max(best[u * 4], scores[u].X + summand);
                best[u * 4 + 1] = first ? scores[u].Y + summand : Math.Max(best[u * 4 + 1], scores[u].Y + summand);
                best[u * 4 + 2] = first ? scores[u].Z + summand : Math.Max(best[u * 4 + 2], scores[u].Z + summand);
                best[u * 4 + 3] = first ? scores[u].W + summand : Math.Max(best[u * 4 + 3], scores[u].W + summand);
            }
        }
    }

    /// <summary>Tokens that a warp scores at once.</summary>
    public static int Tokens<TProduct, TUnits>()
        where TProduct : struct, ILabelProduct
        where TUnits : struct, IKernelCount
        => TUnits.Value * TProduct.Beside * ScoreKernel.UnitTokens;

    /// <summary>Where the token of score number <paramref name="score"/> of a lane lies in the units of a warp: its own of 32, or two beside each other of 64.</summary>
    public static int Place<TProduct>(int score)
        where TProduct : struct, ILabelProduct
    {
        int lane = Group.IdxX & 31;
        return TProduct.Beside == 1 ? score * ScoreKernel.UnitTokens + lane
            : (score >> 1) * (2 * ScoreKernel.UnitTokens) + (score & 1) + ((lane & 2) << 4) + (lane & 28) + ((lane & 1) << 1);
    }

    /// <summary>As <see cref="Accumulate"/>, with the set's single query: <c>best[i]</c> becomes the score of the lane's token number i (<see cref="Place"/>).</summary>
    public static void Own<TProduct, TWords, TUnits>(LabelView labels, int table, int kvHead, int token, U4[] words, U2[] query, float factor, float summand, float[] best)
        where TProduct : struct, ILabelProduct
        where TWords : struct, IKernelCount
        where TUnits : struct, IKernelCount
    {
        for (int u = 0; u < TUnits.Slots; u++)
        {
            if (u < TUnits.Value)
            {
                var scores = TProduct.Multiply<TWords>(words, u * TWords.Value, query, factor);
                best[u * TProduct.Beside] = TProduct.Single ? scores.X : Own(scores.X, scores.Y, scores.Z, scores.W);
                if (TProduct.Beside == 2) best[u * 2 + 1] = scores.Y;
            }
        }
        if (labels.PerToken != 0)
        {
            for (int u = 0; u < 2 * TUnits.Slots; u++)
            {
                if (u < TUnits.Value * TProduct.Beside)
                {
                    int own = token + Place<TProduct>(u);
                    uint scales = labels.TokenScales[labels.Scale(labels.BlockTable[table + (own >> KvLayer.BlockShift)], kvHead, own)];
                    best[u] = best[u] * Ptx.HalfLow(scales) + summand * Ptx.HalfHigh(scales);
                }
            }
            summand = 0f;
        }
        for (int u = 0; u < 2 * TUnits.Slots; u++)
        {
            if (u < TUnits.Value * TProduct.Beside) best[u] += summand;
        }
    }

    /// <summary>A lane's fragments of the queries of a tile.</summary>
    public static U2[] Query<TProduct, TWords>(ArrayView<U2> fragments, int tile, int lane)
        where TProduct : struct, ILabelProduct
        where TWords : struct, IKernelCount
    {
        var query = new U2[TWords.Slots * TProduct.Registers * TProduct.Parts];
        int count = (TWords.Value * TProduct.Registers + 1 >> 1) * TProduct.Parts;
        for (int m = 0; m < TWords.Slots * TProduct.Registers * TProduct.Parts; m++)
        {
            if (m < count) query[m] = fragments[(tile * count + m) * 32 + lane];
        }
        return query;
    }

    /// <summary>The value of token lane % 4 of a lane's four.</summary>
    public static float Own(float x, float y, float z, float w)
    {
        bool upper = (Group.IdxX & 2) != 0, odd = (Group.IdxX & 1) != 0;
        float even = upper ? z : x, other = upper ? w : y;
        return odd ? other : even;
    }

    /// <summary>
    /// From four tokens' largest scores over the queries of a lane to the largest over the four lanes of the same tokens, for token lane % 4 of them: half of the values change lanes at
    /// each of two steps.
    /// </summary>
    public static float LargestOfToken(float x, float y, float z, float w)
    {
        bool upper = (Group.IdxX & 2) != 0, odd = (Group.IdxX & 1) != 0;
        float a = Warp.ShuffleXor(upper ? x : z, 2), b = Warp.ShuffleXor(upper ? y : w, 2);
        a = Math.Max(a, upper ? z : x);
        b = Math.Max(b, upper ? w : y);
        float c = Warp.ShuffleXor(odd ? a : b, 1);
        return Math.Max(c, odd ? b : a);
    }
}
