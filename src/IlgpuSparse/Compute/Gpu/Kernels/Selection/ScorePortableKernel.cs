using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Label products in plain arithmetic, one thread a token: for devices without tensor cores, and for shapes that <see cref="ScoreKernel"/> does not take.</summary>
internal static class ScorePortableKernel
{
    public const int GroupSize = 64;

    /// <summary>Most channels.</summary>
    public const int MaxChannels = 256;

    public static KernelVariant Variant(LabelFormat format) => KernelVariant.Of(typeof(ScorePortableKernel), nameof(Run), GroupSize, LabelBits.Of(format));

    public static IEnumerable<KernelVariant> Variants => Enum.GetValues<LabelFormat>().Select(Variant);

    /// <summary>Grid (tokens / group size, sets, rows).</summary>
    public static void Run<TBits>(LabelView labels, ScoreView score)
        where TBits : struct, ILabelBits
    {
        // room for the channels that the last word has bits for but the label has not
        var query = SharedMemory.Allocate<float>(MaxChannels + 32);
        int set = Grid.IdxY, row = Grid.IdxZ;
        int firstHead = set * score.HeadsPerSet, kvHead = firstHead / score.GroupSize;
        int channels = kvHead * labels.ChannelCount;
        int position = labels.Positions[row];
        int token = Grid.IdxX * Group.DimX + Group.IdxX;
        bool visible = token <= position && token >= score.FirstVisible(position);

        long code = 0;
        float step = 1f, offset = -0.5f * ((1 << TBits.Bits) - 1);
        if (TBits.Bits == 16) offset = 0f;
        if (visible)
        {
            int block = labels.BlockTable[(long)row * labels.MaxBlocks + (token >> KvLayer.BlockShift)];
            code = labels.FirstWord(block, kvHead, token);
            if (labels.PerToken != 0)
            {
                uint packed = labels.TokenScales[labels.Scale(block, kvHead, token)];
                step = Ptx.HalfLow(packed);
                offset = Ptx.HalfHigh(packed);
            }
        }

        float best = float.NegativeInfinity;
        int passes = score.Sum != 0 ? 1 : score.HeadsPerSet;
        for (int head = 0; head < passes; head++)
        {
            Group.Barrier();
            for (int c = Group.IdxX; c < labels.Words * 2 * TBits.Pairs; c += Group.DimX)
            {
                float value = 0f;
                if (c < labels.ChannelCount)
                {
                    value = score.Query(row, firstHead, head, labels.Channels[channels + c]);
                    if (labels.Static != 0) value *= labels.Steps[channels + c];
                }
                query[c] = value;
            }
            Group.Barrier();
            if (visible)
            {
                float sum = 0f;
                for (int word = 0; word < labels.Words; word++)
                {
                    uint packed = labels.Codes[code + word * LabelLayer.TileTokens];
                    int c = word * 2 * TBits.Pairs;
                    if (TBits.Bits == 16) sum += query[c] * Ptx.HalfLow(packed) + query[c + 1] * Ptx.HalfHigh(packed);
                    else
                    {
                        for (int i = 0; i < 2 * TBits.Pairs; i++)
                            sum += query[c + i] * ((int)((packed >> (TBits.Bits * i)) & ((1u << TBits.Bits) - 1u)) * step + offset);
                    }
                }
                sum *= score.Scale;
                if (sum > best) best = sum;
            }
        }
        if (visible) score.Scores[((long)row * Grid.DimY + set) * score.Capacity + token] = best;
    }
}
