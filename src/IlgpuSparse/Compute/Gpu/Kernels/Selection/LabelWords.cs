using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>A warp's labels of some units of 32 tokens, in registers.</summary>
internal static class LabelWords
{
    /// <summary>How many steps of a group's warps <see cref="ScoreKernel.InCluster"/> asks for labels before it loads them.</summary>
    public const int StepsAhead = 4;

    /// <summary>
    /// Has the second-level cache bring part number <paramref name="part"/> of the labels from <paramref name="token"/>, a multiple of <see cref="LabelLayer.TileTokens"/>, to before <paramref name="end"/>: half of a tile's.
    /// </summary>
    public static void Ahead(LabelView labels, int table, int kvHead, int token, int end, int part)
    {
        token += (part >> 1) * LabelLayer.TileTokens;
        int word = (part & 1) * ((labels.Words + 1) >> 1);
        if (token < end && word < labels.Words)
        {
            int block = labels.BlockTable[table + (token >> KvLayer.BlockShift)];
            Loads.Ahead(ref labels.Codes[labels.FirstWord(block, kvHead) + (((token & (KvLayer.BlockTokens - 1)) >> 4) * labels.Words + word) * LabelLayer.TileTokens]);
        }
    }

    /// <summary>
    /// Loads the units from <paramref name="token"/> on, which lie in one block: <c>words[unit · TWords + i]</c> is word lane % 4 + 4i of the unit's tokens 4g .. 4g + 3, g = lane / 4, or, of two labels beside each other, word lane % 2
    /// of the same tokens of the unit's first 32 (lanes 0 and 1) and last 32. For words that a label does not have its last one is loaded; their queries are zero.
    /// </summary>
    public static void Load<TProduct, TWords, TUnits>(LabelView labels, int block, int kvHead, int token, ulong policy, U4[] words)
        where TProduct : struct, ILabelProduct
        where TWords : struct, IKernelCount
        where TUnits : struct, IKernelCount
    {
        int lane = Group.IdxX & 31, group = lane >> 2, column = TProduct.Beside == 1 ? lane & 3 : lane & 1;
        int tile = ((token & (KvLayer.BlockTokens - 1)) >> 4) + (group >> 2) + (TProduct.Beside == 1 ? 0 : lane & 2);
        // places inside of the block in 32 bits: most of what is calculated for a load otherwise is its address
        var quads = labels.Codes.SubView(labels.FirstWord(block, kvHead), labels.Words * KvLayer.BlockTokens).Cast<U4>();
        int first = tile * labels.Words * 4 + (group & 3);
        for (int u = 0; u < TUnits.Slots; u++)
        {
            for (int i = 0; i < TWords.Slots; i++)
            {
                if (u < TUnits.Value && i < TWords.Value)
                {
                    int word = Math.Min(column + 4 * i, labels.Words - 1);
                    words[u * TWords.Value + i] = Loads.Once(ref quads[first + (u * 2 * TProduct.Beside * labels.Words + word) * 4], policy);
                }
            }
        }
    }
}
