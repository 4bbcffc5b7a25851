using System.Numerics;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// SparQ (Ribar et al., arXiv 2312.04985), complete: the r channels with the largest |q|, summed over the group; estimated weights softmax(q_r·k_r / √(d·‖q_r‖₁/‖q‖₁)); the tokens with the highest weights, summed
/// over the group, a quarter of the budget being the last tokens; and what was not selected stands in by the mean of V (<c>mean-value=off</c> leaves that out). It needs K a second time, channel by channel, to read r of them alone.
/// </summary>
internal sealed class SparqPolicy : HostScorePolicy
{
    // per layer: [kvHead, channel, slot]
    private readonly float[]?[] _keys;
    // of the last step: [row, head, capacity] by position
    private readonly float[] _weights;

    public SparqPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, int maxRows)
        : base(backend, config, cache, options, maxRows, config.Heads)
    {
        if (options.Channels > config.HeadDim) throw new ArgumentException($"r={options.Channels}: a head of this model has {config.HeadDim} channels", nameof(options));
        _keys = new float[]?[config.Layers];
        for (int layer = Math.Min(options.DenseLayers, config.Layers); layer < config.Layers; layer++) _keys[layer] = new float[cache.Capacity * config.KvHeads * config.HeadDim];
        _weights = new float[maxRows * config.Heads * cache.Capacity];
    }

    public override long AuxiliaryBytesPerToken => KeyBytesPerToken(Config, Settings);

    /// <summary>K a second time, in fp16.</summary>
    public static long KeyBytesPerToken(LlamaConfig config, AttentionOptions options) => (long)sizeof(short) * config.HeadDim * config.KvHeads * Math.Max(0, config.Layers - options.DenseLayers);

    /// <summary>Device bytes.</summary>
    public static long PlannedBytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder) => PlannedBytes(config, options, decoder, config.Heads);

    protected override void Keep(int layer, int kvHead, int slot, ReadOnlySpan<float> key)
    {
        var channels = _keys[layer].AsSpan(kvHead * Shape.HeadDim * Cache.Capacity);
        for (int c = 0; c < key.Length; c++) channels[c * Cache.Capacity + slot] = key[c];
    }

    protected override void Score(int layer, int kvHead, int position, ReadOnlySpan<int> blocks, ReadOnlySpan<float> q, int set, Span<float> scores)
    {
        int d = Shape.HeadDim, group = Shape.GroupSize, capacity = Cache.Capacity, first = Shape.FirstVisible(position), visible = position + 1 - first;
        int[] channels = Largest(q, d, Settings.Channels);
        var keys = _keys[layer].AsSpan(kvHead * d * capacity, d * capacity);
        var rank = scores[..capacity];
        rank[first..(position + 1)].Clear();
        for (int head = 0; head < group; head++)
        {
            var query = q.Slice(head * d, d);
            float chosen = 0, all = 0;
            foreach (int c in channels) chosen += Math.Abs(query[c]);
            foreach (float x in query) all += Math.Abs(x);
            // a query of zeros has no scores to scale
            float scale = all > 0 ? 1 / MathF.Sqrt(d * chosen / all) : 0;
            var weights = _weights.AsSpan((set + head) * capacity, capacity);
            for (int token = first, end; token <= position; token = end)
            {
                end = Math.Min(position + 1, (token / KvLayer.BlockTokens + 1) * KvLayer.BlockTokens);
                var part = weights[token..end];
                part.Clear();
                int slot = Slot(blocks, token);
                foreach (int c in channels) AddScaled(part, keys.Slice(c * capacity + slot, part.Length), query[c] * scale);
            }
            HostProduct.Softmax(weights.Slice(first, visible));
            AddScaled(rank[first..(position + 1)], weights.Slice(first, visible), 1);
        }
        // the last tokens are always in
        rank[(position + 1 - Math.Max(1, Settings.Rule.Budget(visible) / 4))..(position + 1)].Fill(float.PositiveInfinity);
        for (int head = 1; head < group; head++) rank.CopyTo(scores[(head * capacity)..]);
    }

    protected override float Share(int set, ReadOnlySpan<int> tokens)
    {
        float share = 0;
        foreach (int token in tokens) share += _weights[set * Cache.Capacity + token];
        return Math.Min(1, share);
    }

    // The channels with the largest |q|, summed over the group.
    private static int[] Largest(ReadOnlySpan<float> q, int d, int r)
    {
        var size = new float[d];
        for (int i = 0; i < q.Length; i++) size[i % d] -= Math.Abs(q[i]);
        int[] channels = [.. Enumerable.Range(0, d)];
        Array.Sort(size, channels);
        return channels[..r];
    }

    private static void AddScaled(Span<float> sums, ReadOnlySpan<float> values, float factor)
    {
        int i = 0;
        for (; i <= sums.Length - Vector<float>.Count; i += Vector<float>.Count)
            Vector.FusedMultiplyAdd(new Vector<float>(values[i..]), new Vector<float>(factor), new Vector<float>(sums[i..])).CopyTo(sums[i..]);
        for (; i < sums.Length; i++) sums[i] += values[i] * factor;
    }

    public override long BytesRead(int position)
    {
        int visible = position + 1 - Shape.FirstVisible(position);
        long label = (long)visible * Settings.Channels * sizeof(short) * Shape.KvHeads, mean = Settings.MeanValue ? (long)Shape.KvHeads * Shape.HeadDim * sizeof(float) : 0;
        return visible * (Config.Layers - SparseLayers) * RowBytes + (label + mean + Settings.Rule.Budget(visible) * RowBytes) * SparseLayers;
    }
}
