using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// H2O (Zhang et al., arXiv 2306.14048): every token's attention weights are summed over all queries so far, those of the prompt included; half of the budget are the last tokens, the other half those with the largest sums among
/// the rest (heavy hitters), and what is dropped never comes back. As the paper has it, weights in decode steps are those among the tokens that are still there. Heads of a group share K and V, so their sums are added up and
/// they keep the same tokens; <c>sets=head</c> is the paper's form, made for models without groups.
/// </summary>
/// <remarks>K and V stay in the cache, masked, so that other attentions can be asked about the same context; the method needs the budget alone, which <see cref="KeptShare"/> says. A sequence that is taken back keeps
/// the sums, and lacks what was dropped, unless <see cref="Mark"/> was called before.</remarks>
internal sealed class H2oPolicy : HostSelectionPolicy
{
    private readonly WorkerPool _pool;
    private readonly bool _ownsPool;
    // per layer: keys [block, kvHead, token in block, headDim]; sums of weights and whether the token is dropped, [set, slot]
    private readonly float[]?[] _keys;
    private readonly float[]?[] _mass;
    private readonly bool[]?[] _dropped;
    private (float[]?[] Mass, bool[]?[] Dropped)? _marked;
    private readonly int[] _indices;
    private readonly int[] _counts;
    private float[] _prefill = [];

    public H2oPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, int maxRows)
        : base(backend, config, cache, options, maxRows, options.SetsOf(config), options.Rule.Budget(cache.Capacity))
    {
        _ownsPool = backend is not CpuBackend;
        _pool = backend is CpuBackend cpu ? cpu.Pool : new WorkerPool(Environment.ProcessorCount);
        _keys = new float[]?[config.Layers];
        _mass = new float[]?[config.Layers];
        _dropped = new bool[]?[config.Layers];
        for (int layer = Math.Min(options.DenseLayers, config.Layers); layer < config.Layers; layer++)
        {
            _keys[layer] = new float[cache.Capacity * config.KvHeads * config.HeadDim];
            _mass[layer] = new float[Sets.Sets * cache.Capacity];
            _dropped[layer] = new bool[Sets.Sets * cache.Capacity];
        }
        _indices = new int[maxRows * Sets.Sets * Sets.Capacity];
        _counts = new int[maxRows * Sets.Sets];
    }

    public override long AuxiliaryBytesPerToken => SumBytesPerToken(Config, Settings);

    /// <summary>One sum a token and set.</summary>
    public static long SumBytesPerToken(LlamaConfig config, AttentionOptions options) => (long)sizeof(float) * options.SetsOf(config) * Math.Max(0, config.Layers - options.DenseLayers);

    /// <summary>Device bytes.</summary>
    public static long PlannedBytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder) =>
        PlannedBytes(config, options, decoder, options.SetsOf(config), options.Rule.Budget(KvCache.BlocksFor(decoder.Capacity) * KvLayer.BlockTokens));

    public override double KeptShare(int length) => (double)Settings.Rule.Budget(length) / length;

    public override void Mark() => _marked = (Copy(_mass), Copy(_dropped));

    public override void Return()
    {
        if (_marked is not { } marked) throw new InvalidOperationException("there is no mark to return to");
        for (int layer = 0; layer < _mass.Length; layer++)
        {
            marked.Mass[layer]?.CopyTo(_mass[layer]!, 0);
            marked.Dropped[layer]?.CopyTo(_dropped[layer]!, 0);
        }
    }

    private static T[]?[] Copy<T>(T[]?[] layers) => [.. layers.Select(l => (T[]?)l?.Clone())];

    protected override void Keep(int layer, int kvHead, int slot, ReadOnlySpan<float> key)
    {
        key.CopyTo(_keys[layer].AsSpan(KeyAt(kvHead, slot), key.Length));
        int sets = Sets.Sets / Shape.KvHeads;
        for (int set = kvHead * sets; set < (kvHead + 1) * sets; set++)
        {
            _mass[layer]![set * Cache.Capacity + slot] = 0;
            _dropped[layer]![set * Cache.Capacity + slot] = false;
        }
    }

    public override void Observe(int layer, StepBatch batch, DeviceSpan q)
    {
        if (layer < Settings.DenseLayers || !batch.IsPrefill) return;
        int capacity = Cache.Capacity, start = batch.HostPositions[0], end = start + batch.Rows, first = Shape.FirstVisible(start);
        float[] queries = q.ToArray<float>(batch.Rows * Shape.Heads * Shape.HeadDim);
        if (_prefill.Length == 0) _prefill = new float[Shape.Heads * capacity];
        CpuPrefillMass.Run(_pool, Shape, _keys[layer], batch.HostBlocks(0), start, batch.Rows, queries, _prefill);
        int heads = Shape.Heads / Sets.Sets;
        for (int head = 0; head < Shape.Heads; head++)
        {
            var mass = _mass[layer].AsSpan(head / heads * capacity, capacity);
            for (int token = first; token < end; token++) mass[Slot(batch.HostBlocks(0), token)] += _prefill[head * capacity + token];
        }
    }

    protected override void Choose(int layer, StepBatch batch, float[] q, float[] shares)
    {
        int sets = Sets.Sets, heads = Shape.Heads / sets, width = heads * Shape.HeadDim;
        Parallel.For(0, sets, set =>
        {
            // in order: rows may follow one another in one sequence
            for (int row = 0; row < batch.Rows; row++)
            {
                int task = row * sets + set;
                _counts[task] = Step(layer, set, batch.HostPositions[row], batch.HostBlocks(row), q.AsSpan(task * width, width), _indices.AsSpan(task * Sets.Capacity, Sets.Capacity));
            }
        });
        ((DeviceSpan)Sets.Indices).Upload<int>(_indices.AsSpan(0, batch.Rows * sets * Sets.Capacity));
        ((DeviceSpan)Sets.Counts).Upload<int>(_counts.AsSpan(0, batch.Rows * sets));
    }

    // Drops what exceeds the budget, chooses the rest, and adds the weights of this step's queries to it.
    private int Step(int layer, int set, int position, ReadOnlySpan<int> blocks, ReadOnlySpan<float> q, Span<int> target)
    {
        int first = Shape.FirstVisible(position), budget = Settings.Rule.Budget(position + 1 - first), recent = position + 1 - (budget - budget / 2);
        var mass = _mass[layer].AsSpan(set * Cache.Capacity, Cache.Capacity);
        var dropped = _dropped[layer].AsSpan(set * Cache.Capacity, Cache.Capacity);
        var there = new List<int>(budget);
        for (int token = first; token <= position; token++)
            if (!dropped[Slot(blocks, token)]) there.Add(token);
        if (there.Count > budget)
        {
            // the last tokens are all there: nothing drops them
            int older = there.FindIndex(token => token >= recent);
            var rank = new float[older];
            int[] order = [.. there.Take(older)];
            // negated, so that the heaviest comes first
            for (int i = 0; i < older; i++) rank[i] = -mass[Slot(blocks, order[i])];
            Array.Sort(rank, order);
            int heavy = budget - (there.Count - older);
            foreach (int token in order.AsSpan(heavy)) dropped[Slot(blocks, token)] = true;
            there = [.. order.AsSpan(0, heavy).ToArray().Order(), .. there.Skip(older)];
        }
        there.CopyTo(target);
        var weights = new float[there.Count];
        float[] keys = _keys[layer]!;
        for (int head = 0; head < q.Length / Shape.HeadDim; head++)
        {
            var query = q.Slice(head * Shape.HeadDim, Shape.HeadDim);
            int kvHead = (set * (q.Length / Shape.HeadDim) + head) / Shape.GroupSize;
            for (int i = 0; i < weights.Length; i++) weights[i] = Shape.Scale * HostProduct.Of(query, keys.AsSpan(KeyAt(kvHead, Slot(blocks, there[i])), Shape.HeadDim));
            HostProduct.Softmax(weights);
            for (int i = 0; i < weights.Length; i++) mass[Slot(blocks, there[i])] += weights[i];
        }
        return there.Count;
    }

    private int KeyAt(int kvHead, int slot) => (((slot >> KvLayer.BlockShift) * Shape.KvHeads + kvHead) * KvLayer.BlockTokens + slot % KvLayer.BlockTokens) * Shape.HeadDim;

    public override long BytesRead(int position)
    {
        int visible = position + 1 - Shape.FirstVisible(position);
        long rows = (long)Settings.Rule.Budget(visible) * (Sets.Sets / Shape.KvHeads);
        return visible * (Config.Layers - SparseLayers) * RowBytes + Settings.Rule.Budget(visible) * AuxiliaryBytesPerToken + rows * RowBytes * SparseLayers;
    }

    public override void Dispose()
    {
        if (_ownsPool) _pool.Dispose();
        base.Dispose();
    }
}
