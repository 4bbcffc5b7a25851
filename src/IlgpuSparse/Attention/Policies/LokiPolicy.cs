using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// Loki (Singhania et al., arXiv 2406.02542): keys after RoPE are rotated to their principal components, found offline; a product of the first r of them ranks the tokens of each query head, and the best are attended to with the
/// whole key. The rotation is orthogonal, so keys kept rotated serve both and nothing is stored twice; here the device keeps them as they are, and the components lie on the host.
/// </summary>
internal sealed class LokiPolicy : HostScorePolicy
{
    private readonly KeyComponents _components;
    // per layer: [kvHead, slot, r]
    private readonly float[]?[] _labels;

    public LokiPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, KeyComponents components, int maxRows)
        : base(backend, config, cache, options, maxRows, config.Heads)
    {
        components.CheckFits(config);
        if (options.Channels > config.HeadDim) throw new ArgumentException($"r={options.Channels}: a head of this model has {config.HeadDim} channels", nameof(options));
        _components = components;
        _labels = new float[]?[config.Layers];
        for (int layer = Math.Min(options.DenseLayers, config.Layers); layer < config.Layers; layer++) _labels[layer] = new float[cache.Capacity * config.KvHeads * options.Channels];
    }

    public override long AuxiliaryBytesPerToken => 0;

    /// <summary>Device bytes.</summary>
    public static long PlannedBytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder) => PlannedBytes(config, options, decoder, config.Heads);

    protected override void Keep(int layer, int kvHead, int slot, ReadOnlySpan<float> key) =>
        Project(layer, kvHead, key, _labels[layer].AsSpan((kvHead * Cache.Capacity + slot) * Settings.Channels, Settings.Channels));

    protected override void Score(int layer, int kvHead, int position, ReadOnlySpan<int> blocks, ReadOnlySpan<float> q, int set, Span<float> scores)
    {
        int r = Settings.Channels, d = Shape.HeadDim;
        var labels = _labels[layer].AsSpan(kvHead * Cache.Capacity * r, Cache.Capacity * r);
        var query = new float[Shape.GroupSize * r];
        for (int head = 0; head < Shape.GroupSize; head++) Project(layer, kvHead, q.Slice(head * d, d), query.AsSpan(head * r, r));
        for (int token = Shape.FirstVisible(position); token <= position; token++)
        {
            var label = labels.Slice(Slot(blocks, token) * r, r);
            for (int head = 0; head < Shape.GroupSize; head++) scores[head * Cache.Capacity + token] = HostProduct.Of(label, query.AsSpan(head * r, r));
        }
    }

    private void Project(int layer, int kvHead, ReadOnlySpan<float> row, Span<float> leading)
    {
        var components = _components[layer, kvHead];
        for (int i = 0; i < leading.Length; i++) leading[i] = HostProduct.Of(row, components.Slice(i * row.Length, row.Length));
    }

    public override long BytesRead(int position)
    {
        int visible = position + 1 - Shape.FirstVisible(position);
        long leading = (long)visible * Settings.Channels * sizeof(short) * Shape.KvHeads, rows = (long)Settings.Rule.Budget(visible) * Shape.GroupSize;
        return visible * (Config.Layers - SparseLayers) * RowBytes + (leading + rows * RowBytes) * SparseLayers;
    }
}
