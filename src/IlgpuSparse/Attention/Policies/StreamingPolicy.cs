using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// StreamingLLM (Xiao et al., arXiv 2309.17453): the first tokens and the last ones, as many as the budget. Masked: keys keep the positions they were rotated by, as in the Double Sparsity authors' comparison, and
/// nothing is evicted.
/// </summary>
internal sealed class StreamingPolicy : AttentionPolicy
{
    private readonly ComputeBackend _backend;
    private readonly LlamaConfig _config;
    private readonly KvCache _cache;
    private AttentionOptions _options;
    private readonly AttentionShape _shape;
    private readonly TokenScores _recency;
    private readonly TokenSets _sets;

    public StreamingPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, int maxRows)
    {
        (_backend, _config, _cache, _options) = (backend, config, cache, options);
        _shape = new AttentionShape(config.Heads, config.KvHeads, config.HeadDim, config.SlidingWindow);
        // One set a kv head, since all are the same. A token's score is its position: the last ones win, after the sinks.
        int sets = config.KvHeads, budget = options.Rule.Budget(cache.Capacity);
        _recency = new TokenScores(backend.Allocate((long)maxRows * sets * cache.Capacity * sizeof(float), "scratch"), sets, cache.Capacity);
        _sets = TokenSets.Allocate(backend, maxRows, sets, budget, shares: false);
        float[] positions = [.. Enumerable.Range(0, cache.Capacity).Select(p => (float)p)];
        for (int i = 0; i < maxRows * sets; i++) ((DeviceSpan)_recency.Buffer).SkipFloats((long)i * cache.Capacity).Upload<float>(positions);
    }

    public override string Description => _options.ToString();

    internal override SelectionRule Rule
    {
        get => _options.Rule;
        set => _options = _options with { Rule = value };
    }

    public override long AuxiliaryBytesPerToken => 0;

    internal override TokenSets? Selection => _sets;

    /// <summary>Positions as scores, and the sets.</summary>
    public static long PlannedBytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder)
    {
        int capacity = KvCache.BlocksFor(decoder.Capacity) * KvLayer.BlockTokens;
        return (long)decoder.MaxSequences * config.KvHeads * sizeof(float) * (capacity + options.Rule.Budget(capacity) + 1L);
    }

    public override double KeptShare(int length) => (double)_options.Rule.Budget(length) / length;

    public override void Append(int layer, StepBatch batch, DeviceSpan k) { }

    public override void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        // the sets of a step are those of its first layer
        if (layer == 0) _backend.Select(_shape, _options.Rule, batch, _recency, _sets);
        _backend.AttendSelected(_shape, _cache.Layers[layer], batch, q, _sets, y);
    }

    internal override TokenSets? SetsOf(int layer, StepBatch batch) => _sets;

    public override long BytesRead(int position) =>
        _options.Rule.Budget(position + 1 - _shape.FirstVisible(position)) * KvCache.BytesPerToken(_config, _cache.Format);

    public override void Dispose()
    {
        _recency.Dispose();
        _sets.Dispose();
    }
}
