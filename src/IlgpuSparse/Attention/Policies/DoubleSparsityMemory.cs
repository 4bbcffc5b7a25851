using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>What <see cref="DoubleSparsityPolicy"/> takes of memory, known before any of it is allocated.</summary>
internal static class DoubleSparsityMemory
{
    /// <summary>Label bytes a token over all sparse layers.</summary>
    public static long LabelBytesPerToken(LlamaConfig config, AttentionOptions options) =>
        (long)Math.Max(0, config.Layers - options.DenseLayers) * config.KvHeads * sizeof(uint) * (LabelLayer.WordsFor(options.LabelFormat, options.Channels) + (StoresScales(options) ? 1 : 0));

    /// <summary>Labels, scores and sets that a decoder with <paramref name="decoder"/> options allocates.</summary>
    public static long PlannedBytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder)
    {
        long capacity = (long)KvCache.BlocksFor(decoder.Capacity) * KvLayer.BlockTokens;
        int lists = decoder.KvPrediction != KvPrediction.Off ? 3 : 1; // those of a step, and of two predicted layers
        long tables = HeadBudgets.Bytes(config, options, decoder), outputs = 0;
        for (int layer = Math.Min(options.DenseLayers, config.Layers); layer < config.Layers; layer++)
        {
            tables += LabelTables.Bytes(config, options, decoder.Channels, layer);
            outputs = Math.Max(outputs, LabelTables.OutputsOf(config, options, decoder.Channels, layer));
        }
        long projected = sizeof(float) * outputs * (ProjectedKeys(config, decoder) + (long)decoder.MaxSequences * config.Heads);
        long sums = options.MeanValue ? Math.Max(0, config.Layers - options.DenseLayers) * (capacity / KvLayer.BlockTokens) * ValueSums.BytesPerBlock(config.KvHeads, config.HeadDim) : 0;
        return capacity * LabelBytesPerToken(config, options) + tables + projected + sums
            + (long)decoder.MaxSequences * options.SetsOf(config) * sizeof(float) * (capacity + lists * (options.MostTokens((int)capacity) + (options.MeanValue ? 2 : 1)));
    }

    /// <summary>Whether labels have a scale a token beside them.</summary>
    public static bool StoresScales(AttentionOptions options) => options.Scaling == LabelScaling.PerToken && options.LabelFormat != LabelFormat.F16;

    /// <summary>Rows of the largest append, times kv heads.</summary>
    public static long ProjectedKeys(LlamaConfig config, DecoderOptions decoder) => (long)LlamaDecoder.MaxRows(decoder) * config.KvHeads;
}
