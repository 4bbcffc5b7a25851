using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Writes the labels of a prompt's keys with static scales, eight tokens at a time: a thread has a channel, loads where it lies and its scale once and the keys of all eight tokens together, then packs words.
/// </summary>
internal static class LabelPrefillKernel
{
    public const int GroupSize = 128;

    /// <summary>Tokens a thread.</summary>
    public const int Tokens = 8;

    public static KernelVariant Variant(LabelFormat format) => KernelVariant.Of(typeof(LabelPrefillKernel), nameof(Run), GroupSize, LabelBits.Of(format)) with { MinGroups = 8 };

    public static IEnumerable<KernelVariant> Variants => Enum.GetValues<LabelFormat>().Where(format => format != LabelFormat.F16).Select(Variant);

    /// <summary>Grid over (row / <see cref="Tokens"/>) · kvHead · lanes; row 0 of the block table serves every row.</summary>
    /// <param name="labels">Where to.</param>
    /// <param name="keys"><c>[row, kvHead, headDim]</c>.</param>
    /// <param name="rows">Tokens.</param>
    /// <param name="headDim">Channels a key.</param>
    /// <param name="laneShift">log2 of the threads that share the tokens of a kv head.</param>
    public static void Run<TBits>(LabelView labels, ArrayView<float> keys, int rows, int headDim, int laneShift)
        where TBits : struct, ILabelBits
    {
        // a place more than needed between one code of all words and the next: writes and reads of neighbours then meet different banks
        var codes = SharedMemory.Allocate<uint>((Tokens + 1) * LabelAppendKernel.MaxChannels);
        int perWord = 2 * TBits.Pairs, stride = Tokens * labels.Words + 1;
        int lanes = 1 << laneShift, lane = Group.IdxX & (lanes - 1), slot = Group.IdxX >> laneShift;
        int item = Grid.IdxX * (Group.DimX >> laneShift) + slot, own = slot * perWord * stride;
        bool live = item < (rows + Tokens - 1 >> 3) * labels.KvHeads;
        if (!live) item = 0;
        int row = item / labels.KvHeads, head = item - row * labels.KvHeads;
        row *= Tokens;
        int channels = head * labels.ChannelCount;
        var values = new float[Tokens];
        for (int c = lane; c < labels.Words * perWord; c += lanes)
        {
            int entry = channels + IntrinsicMath.Min(c, labels.ChannelCount - 1), inWord = c & perWord - 1;
            int channel = head * headDim + labels.Channels[entry];
            for (int i = 0; i < Tokens; i++) values[i] = keys[(long)IntrinsicMath.Min(row + i, rows - 1) * (labels.KvHeads * headDim) + channel];
            float offset = labels.Offsets[entry], width = labels.Steps[entry];
            int at = own + inWord * stride + c / perWord;
            for (int i = 0; i < Tokens; i++)
            {
                float level = (values[i] - offset) / width + 0.5f * ((1 << TBits.Bits) - 1);
                uint code = LabelCode.Quantise(width > 0f ? level : 0f, (1 << TBits.Bits) - 1);
                codes[at + i * labels.Words] = c < labels.ChannelCount ? code << inWord * TBits.Bits : 0u;
            }
        }
        Group.Barrier();
        for (int j = lane; j < Tokens * labels.Words; j += lanes)
        {
            uint packed = 0;
            for (int i = 0; i < 2 * TBits.Pairs; i++) packed |= codes[own + i * stride + j];
            int token = j / labels.Words, word = j - token * labels.Words;
            if (live && row + token < rows)
            {
                int position = labels.Positions[row + token];
                long target = labels.FirstWord(labels.BlockTable[position >> KvLayer.BlockShift], head, position);
                labels.Codes[target + word * LabelLayer.TileTokens] = packed;
            }
        }
    }
}
