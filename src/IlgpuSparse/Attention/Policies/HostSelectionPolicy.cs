using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// A method to compare with that chooses tokens on the host: keys and queries come down, sets go up, attention to them runs on the device. Right on every backend, and not fast on any but the cpu: what counts is
/// what it selects. One set a query head.
/// </summary>
internal abstract class HostSelectionPolicy : AttentionPolicy
{
    private readonly ComputeBackend _backend;
    private readonly LlamaConfig _config;
    private readonly KvCache _cache;
    private readonly AttentionOptions _options;
    private readonly ValueSums?[] _sums;
    private readonly TokenSets _sets;
    private readonly float[] _q;
    private readonly float[] _k;
    private readonly int[] _indices;
    private readonly int[] _counts;
    private readonly float[] _shares;

    /// <summary>Allocates sets for <paramref name="maxRows"/> rows of up to <paramref name="most"/> tokens.</summary>
    protected HostSelectionPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, int maxRows, int most)
    {
        (_backend, _config, _cache, _options) = (backend, config, cache, options);
        Shape = new AttentionShape(config.Heads, config.KvHeads, config.HeadDim, config.SlidingWindow);
        most = Math.Min(most, cache.Capacity);
        _sums = new ValueSums?[config.Layers];
        _sets = new TokenSets(backend.Allocate((long)maxRows * config.Heads * most * sizeof(int), "scratch"), backend.Allocate((long)maxRows * config.Heads * sizeof(int), "scratch"), config.Heads, most,
            options.MeanValue ? backend.Allocate((long)maxRows * config.Heads * sizeof(float), "scratch") : null);
        for (int layer = Math.Min(options.DenseLayers, config.Layers); layer < config.Layers && options.MeanValue; layer++)
            _sums[layer] = ValueSums.Allocate(backend, cache.Blocks, config.KvHeads, config.HeadDim);
        _q = new float[maxRows * config.Heads * config.HeadDim];
        _k = new float[KeyChunk * config.KvHeads * config.HeadDim];
        _indices = new int[maxRows * config.Heads * most];
        _counts = new int[maxRows * config.Heads];
        _shares = new float[maxRows * config.Heads];
    }

    /// <summary>Rows that are brought down at a time.</summary>
    private const int KeyChunk = 256;

    public override string Description => _options.ToString();

    public override bool IsRecordable => false;

    internal override TokenSets? Selection => _sets;

    internal override IReadOnlyList<DeviceBuffer?> State(int layer) => throw new NotSupportedException($"what {Description} keeps of a sequence cannot be saved");

    /// <summary>Sizes.</summary>
    protected AttentionShape Shape { get; }

    /// <summary>Its settings.</summary>
    protected AttentionOptions Settings => _options;

    /// <summary>The model.</summary>
    protected LlamaConfig Config => _config;

    /// <summary>K and V bytes of one token and layer.</summary>
    protected long RowBytes => KvCache.BytesPerToken(_config, _cache.Format) / _config.Layers;

    /// <summary>Layers that select.</summary>
    protected int SparseLayers => Math.Max(0, _config.Layers - _options.DenseLayers);

    /// <summary>Device bytes of sets and sums, at most; what a method keeps of the keys lies on the host.</summary>
    public static long PlannedBytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder)
    {
        int capacity = KvCache.BlocksFor(decoder.Capacity) * KvLayer.BlockTokens;
        long sums = options.MeanValue ? Math.Max(0, config.Layers - options.DenseLayers) * (capacity / KvLayer.BlockTokens) * ValueSums.BytesPerBlock(config.KvHeads, config.HeadDim) : 0;
        return sums + (long)decoder.MaxSequences * config.Heads * sizeof(int) * (Lists(config, options, capacity).Capacity + (options.MeanValue ? 2L : 1));
    }

    /// <summary>Lists of a row, and the room of each.</summary>
    public static (int Sets, int Capacity) Lists(LlamaConfig config, AttentionOptions options, int capacity) =>
        (config.Heads, Math.Min(options.Kind == AttentionKind.Quest ? QuestPolicy.MostTokens(options, capacity) : options.Rule.Budget(capacity), capacity));

    public override void Append(int layer, StepBatch batch, DeviceSpan k)
    {
        if (layer < _options.DenseLayers) return;
        int width = Shape.KvHeads * Shape.HeadDim;
        for (int start = 0; start < batch.Rows; start += KeyChunk)
        {
            int rows = Math.Min(KeyChunk, batch.Rows - start);
            var keys = _k.AsSpan(0, rows * width);
            k.SkipFloats((long)start * width).Download(keys);
            for (int row = 0; row < rows; row++)
            {
                int position = batch.HostPositions[start + row], slot = batch.HostBlocks(start + row)[position >> KvLayer.BlockShift] * KvLayer.BlockTokens + position % KvLayer.BlockTokens;
                for (int head = 0; head < Shape.KvHeads; head++)
                {
                    var key = keys.Slice(row * width + head * Shape.HeadDim, Shape.HeadDim);
                    for (int c = 0; c < key.Length; c++) key[c] = (float)(Half)key[c];
                    Keep(layer, head, slot, key);
                }
            }
        }
        if (_sums[layer] is { } sums) _backend.AppendValueSums(Shape, _cache.Layers[layer], sums, batch);
    }

    public override void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        if (layer < _options.DenseLayers)
        {
            _backend.Attend(Shape, _cache.Layers[layer], batch, q, y);
            return;
        }
        int width = Shape.GroupSize * Shape.HeadDim;
        q.Download(_q.AsSpan(0, batch.Rows * Shape.Heads * Shape.HeadDim));
        for (int row = 0; row < batch.Rows; row++)
        {
            for (int kvHead = 0; kvHead < Shape.KvHeads; kvHead++)
            {
                int head = row * Shape.Heads + kvHead * Shape.GroupSize;
                Choose(layer, kvHead, batch.HostPositions[row], batch.HostBlocks(row), _q.AsSpan(head * Shape.HeadDim, width), _indices.AsSpan(head * _sets.Capacity, Shape.GroupSize * _sets.Capacity),
                    _counts.AsSpan(head, Shape.GroupSize), _shares.AsSpan(head, Shape.GroupSize));
            }
        }
        int sets = batch.Rows * Shape.Heads;
        ((DeviceSpan)_sets.Indices).Upload<int>(_indices.AsSpan(0, sets * _sets.Capacity));
        ((DeviceSpan)_sets.Counts).Upload<int>(_counts.AsSpan(0, sets));
        _backend.AttendSelected(Shape, _cache.Layers[layer], batch, q, _sets, y);
        if (_sums[layer] is not { } sums) return;
        ((DeviceSpan)_sets.Shares!).Upload<float>(_shares.AsSpan(0, sets));
        _backend.BlendMeanValue(Shape, _cache.Layers[layer], sums, batch, _sets, y);
    }

    internal override TokenSets? SetsOf(int layer, StepBatch batch) => layer < _options.DenseLayers ? null : _sets;

    /// <summary>Takes note of the key, rounded to fp16, in <paramref name="slot"/> (256 · block + place in the block); slots come again when a sequence was taken back.</summary>
    protected abstract void Keep(int layer, int kvHead, int slot, ReadOnlySpan<float> key);

    /// <summary>
    /// Chooses for the query heads of a group: <paramref name="q"/> is <c>[head, headDim]</c>, <paramref name="indices"/> <c>[head, capacity]</c> of positions in ascending order, <paramref name="counts"/> and
    /// <paramref name="shares"/> (of the estimated mass; where mean value is on) <c>[head]</c>.
    /// </summary>
    protected abstract void Choose(int layer, int kvHead, int position, ReadOnlySpan<int> blocks, ReadOnlySpan<float> q, Span<int> indices, Span<int> counts, Span<float> shares);

    public override void Dispose()
    {
        foreach (var sums in _sums) sums?.Dispose();
        _sets.Dispose();
    }
}
