using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// SparQ (Ribar et al., arXiv 2312.04985), complete: the r channels with the largest |q|, summed over the group; estimated weights softmax(q_r·k_r / √(d·‖q_r‖₁/‖q‖₁)); the tokens with the highest weights, summed
/// over the group, a quarter of the budget being the last tokens; and what was not selected stands in by the mean of V (<c>mean-value=off</c> leaves that out). It needs K a second time, channel by channel, to read r of them alone.
/// </summary>
internal sealed class SparqPolicy : HostSelectionPolicy
{
    // per layer: [slot, kvHead, headDim]
    private readonly float[]?[] _keys;

    public SparqPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, int maxRows)
        : base(backend, config, cache, options, maxRows, options.Rule.Budget(cache.Capacity))
    {
        if (options.Channels > config.HeadDim) throw new ArgumentException($"r={options.Channels}: a head of this model has {config.HeadDim} channels", nameof(options));
        _keys = new float[]?[config.Layers];
        for (int layer = Math.Min(options.DenseLayers, config.Layers); layer < config.Layers; layer++) _keys[layer] = new float[cache.Capacity * config.KvHeads * config.HeadDim];
    }

    public override long AuxiliaryBytesPerToken => KeyBytesPerToken(Config, Settings);

    /// <summary>K a second time, in fp16.</summary>
    public static long KeyBytesPerToken(LlamaConfig config, AttentionOptions options) => (long)sizeof(short) * config.HeadDim * config.KvHeads * Math.Max(0, config.Layers - options.DenseLayers);

    protected override void Keep(int layer, int kvHead, int slot, ReadOnlySpan<float> key) =>
        key.CopyTo(_keys[layer].AsSpan((slot * Shape.KvHeads + kvHead) * Shape.HeadDim, Shape.HeadDim));

    protected override void Choose(int layer, int kvHead, int position, ReadOnlySpan<int> blocks, ReadOnlySpan<float> q, Span<int> indices, Span<int> counts, Span<float> shares)
    {
        int d = Shape.HeadDim, group = Shape.GroupSize, capacity = indices.Length / group, r = Settings.Channels;
        int first = Shape.FirstVisible(position), visible = position + 1 - first, budget = Settings.Rule.Budget(visible);
        int[] channels = Largest(q, d, r);
        float[] keys = _keys[layer]!;
        var weights = new float[group][];
        for (int head = 0; head < group; head++)
        {
            var query = q.Slice(head * d, d);
            float chosen = 0, all = 0;
            foreach (int c in channels) chosen += Math.Abs(query[c]);
            foreach (float x in query) all += Math.Abs(x);
            // a query of zeros has no scores to scale
            float scale = all > 0 ? 1 / MathF.Sqrt(d * chosen / all) : 0;
            var scores = weights[head] = new float[visible];
            float largest = float.NegativeInfinity, sum = 0;
            for (int i = 0; i < visible; i++)
            {
                int token = first + i, at = ((blocks[token >> KvLayer.BlockShift] * KvLayer.BlockTokens + token % KvLayer.BlockTokens) * Shape.KvHeads + kvHead) * d;
                float dot = 0;
                foreach (int c in channels) dot += query[c] * keys[at + c];
                scores[i] = dot * scale;
                largest = Math.Max(largest, scores[i]);
            }
            for (int i = 0; i < visible; i++) sum += scores[i] = MathF.Exp(scores[i] - largest);
            for (int i = 0; i < visible; i++) scores[i] /= sum;
        }
        var order = new int[visible];
        var rank = new float[visible];
        int local = Math.Max(1, budget / 4);
        for (int i = 0; i < visible; i++)
        {
            order[i] = first + i;
            // negated, so that the best comes first; the last tokens are always in
            if (i >= visible - local) rank[i] = float.NegativeInfinity;
            else for (int head = 0; head < group; head++) rank[i] -= weights[head][i];
        }
        Array.Sort(rank, order);
        Array.Sort(order, 0, budget);
        for (int head = 0; head < group; head++)
        {
            order.AsSpan(0, budget).CopyTo(indices.Slice(head * capacity, capacity));
            counts[head] = budget;
            float share = 0;
            for (int i = 0; i < budget; i++) share += weights[head][order[i] - first];
            shares[head] = budget == visible ? 1 : Math.Min(1, share);
        }
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

    public override long BytesRead(int position)
    {
        int visible = position + 1 - Shape.FirstVisible(position);
        long label = (long)visible * Settings.Channels * sizeof(short) * Shape.KvHeads, mean = Settings.MeanValue ? (long)Shape.KvHeads * Shape.HeadDim * sizeof(float) : 0;
        return visible * (Config.Layers - SparseLayers) * RowBytes + (label + mean + Settings.Rule.Budget(visible) * RowBytes) * SparseLayers;
    }
}
