using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>A warp's labels of some units of 32 tokens, in registers.</summary>
internal static class LabelWords
{
    /// <summary>How many steps of a group's warps <see cref="ScoreKernel.InCluster"/> asks for labels before it loads them.</summary>
    public const int StepsAhead = 4;

    /// <summary>Has the second-level cache bring the labels from <paramref name="start"/> to before <paramref name="end"/>: a copy for each cache block, where they lie together. The whole group calls.</summary>
    public static void Ahead(LabelView labels, int table, int kvHead, int start, int end)
    {
        // none where a slice is empty, or has no labels so far ahead: a length of nothing or less would be one of four billion
        for (int block = (start >> KvLayer.BlockShift) + Group.IdxX; Math.Max(start, block << KvLayer.BlockShift) < end; block += Group.DimX)
        {
            int first = Math.Max(start, block << KvLayer.BlockShift), last = Math.Min(end, block + 1 << KvLayer.BlockShift) - 1, tile = (first & (KvLayer.BlockTokens - 1)) >> 4;
            long word = labels.FirstWord(labels.BlockTable[table + block], kvHead) + tile * labels.Words * LabelLayer.TileTokens;
            BulkCopy.Ahead(ref labels.Codes[word], ((last >> 4) - (first >> 4) + 1) * labels.Words * LabelLayer.TileTokens * sizeof(uint));
        }
    }

    /// <summary>Sixteen bytes of labels before those of the lane's tokens in a unit, for <see cref="Load"/>.</summary>
    public static int Place<TProduct>(LabelView labels)
        where TProduct : struct, ILabelProduct
    {
        int lane = Group.IdxX & 31, group = lane >> 2;
        return ((group >> 2) + (TProduct.Beside == 1 ? 0 : lane & 2)) * labels.Words * 4 + (group & 3);
    }

    /// <summary>
    /// Loads the units from <paramref name="token"/> on, which lie in one block: <c>words[unit · TWords + i]</c> is word lane % 4 + 4i of the unit's tokens 4g .. 4g + 3, g = lane / 4, or, of two labels beside each other, word lane % 2
    /// of the same tokens of the unit's first 32 (lanes 0 and 1) and last 32. For words that a label does not have its last one is loaded; their queries are zero.
    /// </summary>
    public static void Load<TProduct, TWords, TUnits>(LabelView labels, int block, int kvHead, int token, int place, ulong policy, U4[] words)
        where TProduct : struct, ILabelProduct
        where TWords : struct, IKernelCount
        where TUnits : struct, IKernelCount
    {
        int column = TProduct.Beside == 1 ? Group.IdxX & 3 : Group.IdxX & 1;
        // places inside of the block in 32 bits: most of what is calculated for a load otherwise is its address
        var quads = labels.Codes.SubView(labels.FirstWord(block, kvHead), labels.Words * KvLayer.BlockTokens).Cast<U4>();
        int first = ((token & (KvLayer.BlockTokens - 1)) >> 4) * labels.Words * 4 + place;
        for (int i = 0; i < TWords.Slots; i++)
        {
            if (i < TWords.Value)
            {
                int own = first + Math.Min(column + 4 * i, labels.Words - 1) * 4;
                for (int u = 0; u < TUnits.Slots; u++)
                {
                    if (u < TUnits.Value) words[u * TWords.Value + i] = Loads.Once(ref quads[own + u * 8 * TProduct.Beside * labels.Words], policy);
                }
            }
        }
    }
}
