using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Writes the labels of new keys: one thread a channel, then one a word. Threads share the channels of a token and kv head so that a step waits for two loads, one after the other, and for
/// little code.
/// </summary>
internal static class LabelAppendKernel
{
    public const int GroupSize = 128;

    /// <summary>Most channels.</summary>
    public const int MaxChannels = 256;

    public static KernelVariant Variant(LabelFormat format) => KernelVariant.Of(typeof(LabelAppendKernel), nameof(Run), GroupSize, LabelBits.Of(format)) with { MinGroups = 8 };

    public static IEnumerable<KernelVariant> Variants => Enum.GetValues<LabelFormat>().Select(Variant);

    /// <summary>Grid over row · kvHead · lanes.</summary>
    /// <param name="labels">Where to.</param>
    /// <param name="keys"><c>[row, kvHead, headDim]</c>.</param>
    /// <param name="rows">Tokens.</param>
    /// <param name="headDim">Channels a key.</param>
    /// <param name="laneShift">log2 of the threads a token and kv head.</param>
    /// <param name="isPrefill">1 when row 0 of the block table serves every row.</param>
    public static void Run<TBits>(LabelView labels, ArrayView<float> keys, int rows, int headDim, int laneShift, int isPrefill)
        where TBits : struct, ILabelBits
    {
        // an item's lanes are whole words, so all of a group's are as many as its threads, or those of one long label
        var codes = SharedMemory.Allocate<uint>(MaxChannels);
        var lows = SharedMemory.Allocate<float>(GroupSize);
        var highs = SharedMemory.Allocate<float>(GroupSize);
        int lanes = 1 << laneShift, lane = Group.IdxX & (lanes - 1);
        int item = (Grid.IdxX * Group.DimX + Group.IdxX) >> laneShift;
        bool live = item < rows * labels.KvHeads;
        if (!live) item = 0;
        int row = item / labels.KvHeads, head = item - row * labels.KvHeads;
        long key = (long)item * headDim;
        int channels = head * labels.ChannelCount;
        int position = labels.Positions[row];
        int block = labels.BlockTable[(isPrefill != 0 ? 0 : (long)row * labels.MaxBlocks) + (position >> KvLayer.BlockShift)];

        float minimum = 0f, step = 0f;
        if (TBits.Bits != 16)
        {
            float low = float.PositiveInfinity, high = float.NegativeInfinity;
            if (labels.PerToken != 0)
            {
                for (int c = lane; c < labels.ChannelCount; c += lanes)
                {
                    float k = keys[key + labels.Channels[channels + c]];
                    if (k < low) low = k;
                    if (k > high) high = k;
                }
            }
            // outside the condition, although all threads agree on it: PoCL goes wrong after a barrier inside of one
            lows[Group.IdxX] = low;
            highs[Group.IdxX] = high;
            Group.Barrier();
            if (labels.PerToken != 0)
            {
                int first = Group.IdxX - lane;
                for (int i = 0; i < lanes; i++)
                {
                    if (lows[first + i] < low) low = lows[first + i];
                    if (highs[first + i] > high) high = highs[first + i];
                }
                uint packed = Scales<TBits>(low, high);
                minimum = Ptx.HalfHigh(packed);
                step = Ptx.HalfLow(packed);
                if (live && lane == 0) labels.TokenScales[labels.Scale(block, head, position)] = packed;
            }
        }

        int padded = labels.Words * 2 * TBits.Pairs, own = (Group.IdxX >> laneShift) * padded;
        for (int c = lane; c < padded; c += lanes)
        {
            int entry = channels + Math.Min(c, labels.ChannelCount - 1);
            float k = keys[key + labels.Channels[entry]];
            uint code = TBits.Bits == 16 ? HalfBits.Round(k) : Code<TBits>(labels, entry, k, minimum, step);
            codes[own + c] = c < labels.ChannelCount ? code : 0u;
        }
        Group.Barrier();
        long target = labels.FirstWord(block, head, position);
        for (int word = lane; word < labels.Words; word += lanes)
        {
            uint packed = 0;
            for (int i = 0; i < 2 * TBits.Pairs; i++) packed |= codes[own + word * 2 * TBits.Pairs + i] << (TBits.Bits * i);
            if (live) labels.Codes[target + word * LabelLayer.TileTokens] = packed;
        }
    }

    /// <summary>Step and minimum of a token whose channels lie between <paramref name="low"/> and <paramref name="high"/>, rounded as they are stored: the codes are of these.</summary>
    public static uint Scales<TBits>(float low, float high)
        where TBits : struct, ILabelBits
        => HalfBits.Round((high - low) / ((1 << TBits.Bits) - 1)) | (HalfBits.Round(low) << 16);

    /// <summary>The code of <paramref name="k"/> in place <paramref name="entry"/> of the tables; <paramref name="minimum"/> and <paramref name="step"/> are the token's, where it has its own.</summary>
    public static uint Code<TBits>(LabelView labels, int entry, float k, float minimum, float step)
        where TBits : struct, ILabelBits
    {
        bool perToken = labels.PerToken != 0;
        float offset = labels.Offsets[entry], width = labels.QuantiserSteps[entry];
        offset = perToken ? minimum : offset;
        width = perToken ? step : width;
        int largest = (1 << TBits.Bits) - 1, plane = 0;
        if (TBits.Bits == 1)
        {
            int place = labels.Planes[entry];
            largest = labels.Planed != 0 ? (1 << (place & 255)) - 1 : largest;
            plane = labels.Planed != 0 ? place >> 8 : 0;
        }
        float level = (k - offset) / width + (perToken ? 0f : 0.5f * largest);
        uint code = LabelCode.Quantise(width > 0f ? level : 0f, largest);
        return TBits.Bits == 1 ? (code >> plane) & 1u : code;
    }
}
