using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The label of a row's own key, written by one warp of a kernel that scores: <see cref="LabelAppendKernel"/> for a single token and kv head of at most <see cref="ScoreKernel.MaxChannels"/> channels.</summary>
internal static class OwnLabel
{
    /// <summary>Writes it. The whole warp calls; every lane has up to four of the channels, those that <see cref="QuerySet.Places"/> names.</summary>
    /// <param name="labels">Where to.</param>
    /// <param name="set">A set of the row and kv head.</param>
    /// <param name="keys"><c>[row, kvHead, headDim]</c>.</param>
    /// <param name="headDim">Channels a key.</param>
    public static void Write<TBits>(LabelView labels, QuerySet set, ArrayView<float> keys, int headDim)
        where TBits : struct, ILabelBits
    {
        long key = ((long)set.Row * labels.KvHeads + set.KvHead) * headDim;
        float x = keys[key + set.Places.X], y = keys[key + set.Places.Y], z = keys[key + set.Places.Z], w = keys[key + set.Places.W];
        int position = labels.Positions[set.Row], block = labels.BlockTable[set.Row * labels.MaxBlocks + (position >> KvLayer.BlockShift)];
        uint scales = 0u;
        if (labels.PerToken != 0)
        {
            // places beyond the last hold the last channel once more
            float low = Math.Min(Math.Min(x, y), Math.Min(z, w)), high = Math.Max(Math.Max(x, y), Math.Max(z, w));
            for (int d = 0; d < 5; d++)
            {
                low = Math.Min(low, Warp.ShuffleXor(low, 1 << d));
                high = Math.Max(high, Warp.ShuffleXor(high, 1 << d));
            }
            scales = LabelAppendKernel.Scales<TBits>(low, high);
        }
        // all codes before the first is written: the loads behind them do not wait for one another
        int lane = Group.IdxX & 31;
        uint first = Code<TBits>(labels, set.KvHead, lane, x, scales), second = Code<TBits>(labels, set.KvHead, lane + 32, y, scales);
        uint third = Code<TBits>(labels, set.KvHead, lane + 64, z, scales), fourth = Code<TBits>(labels, set.KvHead, lane + 96, w, scales);
        long target = labels.FirstWord(block, set.KvHead, position);
        if (labels.PerToken != 0 && lane == 0) labels.TokenScales[labels.Scale(block, set.KvHead, position)] = scales;
        Store<TBits>(labels, lane, first, target);
        Store<TBits>(labels, lane + 32, second, target);
        Store<TBits>(labels, lane + 64, third, target);
        Store<TBits>(labels, lane + 96, fourth, target);
    }

    private static uint Code<TBits>(LabelView labels, int kvHead, int channel, float k, uint scales)
        where TBits : struct, ILabelBits
    {
        uint code = TBits.Bits == 16 ? HalfBits.Round(k)
            : LabelAppendKernel.Code<TBits>(labels, kvHead * labels.ChannelCount + Math.Min(channel, labels.ChannelCount - 1), k, Ptx.HalfHigh(scales), Ptx.HalfLow(scales));
        return channel < labels.ChannelCount ? code : 0u;
    }

    // The words that the warp's codes make, of which this lane has that of `channel`.
    private static void Store<TBits>(LabelView labels, int channel, uint code, long target)
        where TBits : struct, ILabelBits
    {
        int codes = 2 * TBits.Pairs, inWord = channel & (codes - 1), word = channel / codes;
        uint packed = code << (TBits.Bits * inWord);
        for (int d = 1; d < 32; d <<= 1)
        {
            uint other = Warp.ShuffleXor(packed, d);
            packed |= d < codes ? other : 0u;
        }
        if (inWord == 0 && word < labels.Words) labels.Codes[target + word * LabelLayer.TileTokens] = packed;
    }
}
