using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>A method to compare with that scores every token on the host; the best ones are chosen on the device, as for every other.</summary>
internal abstract class HostScorePolicy : HostSelectionPolicy
{
    private readonly TokenScores _scores;
    private readonly float[] _host;

    /// <summary>Allocates scores and sets of <paramref name="maxRows"/> rows, <paramref name="sets"/> a row.</summary>
    protected HostScorePolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, int maxRows, int sets)
        : base(backend, config, cache, options, maxRows, sets, options.Rule.Budget(cache.Capacity))
    {
        _scores = new TokenScores(backend.Allocate((long)maxRows * Sets.Sets * cache.Capacity * sizeof(float), "scratch"), Sets.Sets, cache.Capacity);
        _host = new float[maxRows * Sets.Sets * cache.Capacity];
    }

    /// <summary>Device bytes of scores, sets and sums.</summary>
    protected static long PlannedBytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder, int sets)
    {
        int capacity = KvCache.BlocksFor(decoder.Capacity) * KvLayer.BlockTokens;
        return PlannedBytes(config, options, decoder, sets, options.Rule.Budget(capacity)) + (long)decoder.MaxSequences * sets * capacity * sizeof(float);
    }

    protected sealed override void Choose(int layer, StepBatch batch, float[] q, float[] shares)
    {
        int sets = Sets.Sets / Shape.KvHeads;
        Parallel.For(0, batch.Rows * Shape.KvHeads, task =>
        {
            int row = task / Shape.KvHeads, kvHead = task % Shape.KvHeads, first = row * Sets.Sets + kvHead * sets;
            int width = Shape.GroupSize * Shape.HeadDim;
            Score(layer, kvHead, batch.HostPositions[row], batch.HostBlocks(row), q.AsSpan(task * width, width), first, _host.AsSpan(first * Cache.Capacity, sets * Cache.Capacity));
        });
        ((DeviceSpan)_scores.Buffer).Upload<float>(_host.AsSpan(0, batch.Rows * Sets.Sets * Cache.Capacity));
        Backend.Select(Shape, Settings.Rule, batch, _scores, Sets);
        if (!Settings.MeanValue) return;
        int[][] lists = Sets.ToLists(0, batch.Rows);
        for (int set = 0; set < lists.Length; set++) shares[set] = Share(set, lists[set]);
    }

    /// <summary>
    /// Scores the visible tokens of one group: <paramref name="q"/> is <c>[head in group, headDim]</c>, <paramref name="scores"/> <c>[set in group, capacity]</c> by position; <paramref name="set"/> is the number of the first
    /// of these sets in the step. Called for several groups at a time.
    /// </summary>
    protected abstract void Score(int layer, int kvHead, int position, ReadOnlySpan<int> blocks, ReadOnlySpan<float> q, int set, Span<float> scores);

    /// <summary>The share of the estimated mass that the <paramref name="tokens"/> hold which were chosen for set <paramref name="set"/> of the step: asked where mean value is on.</summary>
    protected virtual float Share(int set, ReadOnlySpan<int> tokens) => throw new NotSupportedException($"{Description} estimates no mass");

    public override void Dispose()
    {
        _scores.Dispose();
        base.Dispose();
    }
}
