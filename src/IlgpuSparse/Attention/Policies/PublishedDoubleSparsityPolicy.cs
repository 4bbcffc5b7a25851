using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// Double Sparsity as its authors' code has it (arXiv 2408.07092), to compare with: one choice of channels for all heads of a layer (their <c>qk</c> statistic mixes the heads up), labels of 4 bits between the minimum and the
/// maximum of each token's own channels, the query's channels rounded in the same way, a set for every query head. Scale and minimum, two fp16 numbers a token, are counted, which the paper leaves out.
/// </summary>
internal sealed class PublishedDoubleSparsityPolicy : HostScorePolicy
{
    // per layer: the channels, and what the labels [kvHead, slot, r] stand for
    private readonly int[][] _channels;
    private readonly float[]?[] _labels;

    public PublishedDoubleSparsityPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, ChannelMap map, int maxRows)
        : base(backend, config, cache, options, maxRows, config.Heads)
    {
        map.CheckFits(config);
        if (options.Channels > config.HeadDim) throw new ArgumentException($"channels={options.Channels}: a head of this model has {config.HeadDim}", nameof(options));
        _channels = [.. Enumerable.Range(0, config.Layers).Select(layer => OfLayer(map, layer)[..options.Channels])];
        _labels = new float[]?[config.Layers];
        for (int layer = Math.Min(options.DenseLayers, config.Layers); layer < config.Layers; layer++) _labels[layer] = new float[cache.Capacity * config.KvHeads * options.Channels];
    }

    public override long AuxiliaryBytesPerToken => LabelBytesPerToken(Config, Settings);

    /// <summary>Codes, scale and minimum; the heads of a group have the same channels, so one label serves them.</summary>
    public static long LabelBytesPerToken(LlamaConfig config, AttentionOptions options) =>
        (((long)options.Channels * options.LabelFormat.Bits() + 7) / 8 + (options.LabelFormat == LabelFormat.F16 ? 0 : 2 * sizeof(short))) * config.KvHeads * Math.Max(0, config.Layers - options.DenseLayers);

    /// <summary>Device bytes.</summary>
    public static long PlannedBytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder) => PlannedBytes(config, options, decoder, config.Heads);

    protected override void Keep(int layer, int kvHead, int slot, ReadOnlySpan<float> key)
    {
        int r = Settings.Channels;
        Gather(key, layer, _labels[layer].AsSpan((kvHead * Cache.Capacity + slot) * r, r));
    }

    protected override void Score(int layer, int kvHead, int position, ReadOnlySpan<int> blocks, ReadOnlySpan<float> q, int set, Span<float> scores)
    {
        int r = Settings.Channels, d = Shape.HeadDim;
        var labels = _labels[layer].AsSpan(kvHead * Cache.Capacity * r, Cache.Capacity * r);
        var query = new float[Shape.GroupSize * r];
        for (int head = 0; head < Shape.GroupSize; head++) Gather(q.Slice(head * d, d), layer, query.AsSpan(head * r, r));
        for (int token = Shape.FirstVisible(position); token <= position; token++)
        {
            var label = labels.Slice(Slot(blocks, token) * r, r);
            for (int head = 0; head < Shape.GroupSize; head++) scores[head * Cache.Capacity + token] = HostProduct.Of(label, query.AsSpan(head * r, r));
        }
    }

    // The channels of the layer as their codes stand for them.
    private void Gather(ReadOnlySpan<float> row, int layer, Span<float> label)
    {
        int[] channels = _channels[layer];
        float least = float.PositiveInfinity, most = float.NegativeInfinity;
        for (int i = 0; i < label.Length; i++)
        {
            label[i] = row[channels[i]];
            least = Math.Min(least, label[i]);
            most = Math.Max(most, label[i]);
        }
        if (Settings.LabelFormat == LabelFormat.F16) return;
        int top = (1 << Settings.LabelFormat.Bits()) - 1;
        float scale = most > least ? top / (most - least) : 1;
        for (int i = 0; i < label.Length; i++) label[i] = Math.Clamp(MathF.Round((label[i] - least) * scale), 0, top) / scale + least;
    }

    /// <summary>The channels of a layer: the rankings of its heads made one by the sum of ranks. Those of a per-layer statistic are one already.</summary>
    internal static int[] OfLayer(ChannelMap map, int layer)
    {
        var ranks = new int[map.HeadDim];
        for (int head = 0; head < map.KvHeads; head++)
            for (int rank = 0; rank < map.HeadDim; rank++) ranks[map[layer, head].Ranking[rank]] += rank;
        return [.. Enumerable.Range(0, map.HeadDim).OrderBy(c => ranks[c]).ThenBy(c => c)];
    }

    public override long BytesRead(int position)
    {
        int visible = position + 1 - Shape.FirstVisible(position);
        long rows = (long)Settings.Rule.Budget(visible) * Shape.GroupSize;
        return visible * (Config.Layers - SparseLayers) * RowBytes + visible * AuxiliaryBytesPerToken + rows * RowBytes * SparseLayers;
    }
}
