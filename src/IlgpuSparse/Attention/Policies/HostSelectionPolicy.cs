using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// A method to compare with that chooses tokens on the host: keys and queries come down, sets go up, attention to them runs on the device. Right on every backend, and not fast on any but the cpu: what counts is
/// what it selects.
/// </summary>
internal abstract class HostSelectionPolicy : AttentionPolicy
{
    private AttentionOptions _options;
    private readonly ValueSums?[] _sums;
    private readonly float[] _q;
    private readonly float[] _k;
    private readonly float[] _shares;

    /// <summary>Allocates <paramref name="sets"/> sets for each of <paramref name="maxRows"/> rows, of up to <paramref name="most"/> tokens.</summary>
    protected HostSelectionPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, int maxRows, int sets, int most)
    {
        (Backend, Config, Cache, _options) = (backend, config, cache, options);
        Shape = new AttentionShape(config.Heads, config.KvHeads, config.HeadDim, config.SlidingWindow);
        MaxRows = maxRows;
        most = Math.Min(most, cache.Capacity);
        _sums = new ValueSums?[config.Layers];
        Sets = TokenSets.Allocate(backend, maxRows, sets, most, options.MeanValue);
        for (int layer = Math.Min(options.DenseLayers, config.Layers); layer < config.Layers && options.MeanValue; layer++)
            _sums[layer] = ValueSums.Allocate(backend, cache.Blocks, config.KvHeads, config.HeadDim);
        _q = new float[maxRows * config.Heads * config.HeadDim];
        _k = new float[KeyChunk * config.KvHeads * config.HeadDim];
        _shares = new float[maxRows * sets];
    }

    /// <summary>Rows that are brought down at a time.</summary>
    private const int KeyChunk = 256;

    public override string Description => _options.ToString();

    public override bool IsRecordable => false;

    internal override TokenSets? Selection => Sets;

    internal override IReadOnlyList<DeviceBuffer?> State(int layer) => throw new NotSupportedException($"what {Description} keeps of a sequence cannot be saved");

    internal override SelectionRule Rule
    {
        get => _options.Rule;
        set => _options = _options with { Rule = value };
    }

    /// <summary>The device.</summary>
    protected ComputeBackend Backend { get; }

    /// <summary>Sizes.</summary>
    protected AttentionShape Shape { get; }

    /// <summary>Its settings.</summary>
    protected AttentionOptions Settings => _options;

    /// <summary>The model.</summary>
    protected LlamaConfig Config { get; }

    /// <summary>K and V.</summary>
    protected KvCache Cache { get; }

    /// <summary>Most rows of a step.</summary>
    protected int MaxRows { get; }

    /// <summary>The sets of a step.</summary>
    protected TokenSets Sets { get; }

    /// <summary>K and V bytes of one token and layer.</summary>
    protected long RowBytes => KvCache.BytesPerToken(Config, Cache.Format) / Config.Layers;

    /// <summary>Layers that select.</summary>
    protected int SparseLayers => Math.Max(0, Config.Layers - _options.DenseLayers);

    /// <summary>Device bytes of <paramref name="sets"/> sets a row of <paramref name="most"/> tokens, and of sums; what a method keeps of the keys lies on the host.</summary>
    protected static long PlannedBytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder, int sets, int most)
    {
        int capacity = KvCache.BlocksFor(decoder.Capacity) * KvLayer.BlockTokens;
        long sums = options.MeanValue ? Math.Max(0, config.Layers - options.DenseLayers) * (capacity / KvLayer.BlockTokens) * ValueSums.BytesPerBlock(config.KvHeads, config.HeadDim) : 0;
        return sums + (long)decoder.MaxSequences * sets * sizeof(int) * (Math.Min(most, capacity) + (options.MeanValue ? 2L : 1));
    }

    // the sums of V would hold the whole run
    internal override bool TakesRuns => !_options.MeanValue;

    internal override TokenSets? SetsOf(int layer, StepBatch batch) => layer < _options.DenseLayers ? null : Sets;

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
                int slot = Slot(batch.HostBlocks(start + row), batch.HostPositions[start + row]);
                for (int head = 0; head < Shape.KvHeads; head++)
                {
                    var key = keys.Slice(row * width + head * Shape.HeadDim, Shape.HeadDim);
                    for (int c = 0; c < key.Length; c++) key[c] = (float)(Half)key[c];
                    Keep(layer, head, slot, key);
                }
            }
        }
        if (_sums[layer] is { } sums) Backend.AppendValueSums(Shape, Cache.Layers[layer], sums, batch);
    }

    public override void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        if (layer < _options.DenseLayers)
        {
            Backend.Attend(Shape, Cache.Layers[layer], batch, q, y);
            return;
        }
        q.Download(_q.AsSpan(0, batch.Rows * Shape.Heads * Shape.HeadDim));
        Choose(layer, batch, _q, _shares);
        Backend.AttendSelected(Shape, Cache.Layers[layer], batch, q, Sets, y);
        if (_sums[layer] is not { } sums) return;
        ((DeviceSpan)Sets.Shares!).Upload<float>(_shares.AsSpan(0, batch.Rows * Sets.Sets));
        Backend.BlendMeanValue(Shape, Cache.Layers[layer], sums, batch, Sets, y);
    }

    /// <summary>Where the token at <paramref name="position"/> of a sequence with these <paramref name="blocks"/> lies: 256 · block + place in the block.</summary>
    protected static int Slot(ReadOnlySpan<int> blocks, int position) => blocks[position >> KvLayer.BlockShift] * KvLayer.BlockTokens + position % KvLayer.BlockTokens;

    /// <summary>Takes note of the key, rounded to fp16, in <paramref name="slot"/>; slots come again when a sequence was taken back.</summary>
    protected abstract void Keep(int layer, int kvHead, int slot, ReadOnlySpan<float> key);

    /// <summary>Brings the <see cref="Sets"/> of a step to the device: <paramref name="q"/> is <c>[row, head, headDim]</c>, <paramref name="shares"/> (of the estimated mass; where mean value is on) <c>[row, set]</c>.</summary>
    protected abstract void Choose(int layer, StepBatch batch, float[] q, float[] shares);

    public override void Dispose()
    {
        foreach (var sums in _sums) sums?.Dispose();
        Sets.Dispose();
    }
}
