using System.Security.Cryptography;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// Double Sparsity (Yang et al., arXiv 2408.07092): every key leaves a label of r calibrated channels; a step scores all labels against the query, takes the best tokens, and attends exactly to
/// those alone. Differences from the published code: channels a (layer, kv head) instead of a layer, labels quantised and packed for real, one token set a kv head by
/// default, the current token always in, right when the budget exceeds the length.
/// </summary>
internal sealed class DoubleSparsityPolicy : AttentionPolicy
{
    private const int SparseMode = 0, DenseMode = 1;

    private readonly ComputeBackend _backend;
    private readonly LlamaConfig _config;
    private readonly KvCache _cache;
    private AttentionOptions _options;
    private readonly AttentionShape _shape;
    private readonly LabelLayer?[] _labels;
    private readonly ValueSums?[] _sums;
    private readonly TokenScores? _scores;
    private readonly TokenSets? _sets;
    private readonly TokenSets?[] _predicted = new TokenSets?[2];
    private readonly KvPrediction _prediction;

    public DoubleSparsityPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, ChannelMap channels, int maxRows, KvPrediction prediction = KvPrediction.Off)
    {
        channels.CheckFits(config);
        if (options.Channels > config.HeadDim)
            throw new ArgumentException($"channels={options.Channels}: a head of this model has {config.HeadDim}", nameof(options));
        if (options.Scaling == LabelScaling.Static && options.LabelFormat != LabelFormat.F16 && !channels.HasScales)
            throw new ArgumentException("this channel map has no offsets and scales: use scaling=token or bits=16, or calibrate", nameof(options));
        _backend = backend;
        _config = config;
        _cache = cache;
        _options = options;
        _shape = new AttentionShape(config.Heads, config.KvHeads, config.HeadDim, config.SlidingWindow);
        _labels = new LabelLayer?[config.Layers];
        _sums = new ValueSums?[config.Layers];
        try
        {
            for (int layer = Math.Min(options.DenseLayers, config.Layers); layer < config.Layers; layer++)
            {
                _labels[layer] = NewLayer(channels, layer);
                if (options.MeanValue) _sums[layer] = ValueSums.Allocate(backend, cache.Blocks, config.KvHeads, config.HeadDim);
            }
            int sets = SetsFor(config, options);
            _scores = new TokenScores(backend.Allocate((long)maxRows * sets * cache.Capacity * sizeof(float), "scratch"), sets, cache.Capacity);
            int budget = options.Rule.Budget(cache.Capacity);
            _sets = NewSets();
            _prediction = cache is HostKvCache ? prediction : KvPrediction.Off;
            for (int i = 0; i < _predicted.Length && _prediction != KvPrediction.Off; i++) _predicted[i] = NewSets();

            TokenSets NewSets() => new(backend.Allocate((long)maxRows * sets * budget * sizeof(int), "scratch"), backend.Allocate((long)maxRows * sets * sizeof(int), "scratch"), sets, budget,
                options.MeanValue ? backend.Allocate((long)maxRows * sets * sizeof(float), "scratch") : null);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public override string Description => _options.ToString();

    internal override SelectionRule Rule
    {
        get => _options.Rule;
        set => _options = _options with { Rule = value };
    }

    public override long AuxiliaryBytesPerToken => LabelBytesPerToken(_config, _options);

    /// <summary>Label bytes a token over all sparse layers.</summary>
    public static long LabelBytesPerToken(LlamaConfig config, AttentionOptions options) =>
        (long)Math.Max(0, config.Layers - options.DenseLayers) * config.KvHeads * sizeof(uint) * (LabelLayer.WordsFor(options.LabelFormat, options.Channels) + (StoresScales(options) ? 1 : 0));

    /// <summary>Labels, scores and sets that a decoder with <paramref name="decoder"/> options allocates.</summary>
    public static long PlannedBytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder)
    {
        long capacity = (long)KvCache.BlocksFor(decoder.Capacity) * KvLayer.BlockTokens;
        int lists = decoder is { KvPlacement: KvPlacement.Host, KvPrediction: not KvPrediction.Off } ? 3 : 1; // those of a step, and of two predicted layers
        long tables = (long)Math.Max(0, config.Layers - options.DenseLayers) * config.KvHeads * options.Channels * sizeof(float) * (HasTables(options) ? 3 : 1);
        long sums = options.MeanValue ? Math.Max(0, config.Layers - options.DenseLayers) * (capacity / KvLayer.BlockTokens) * ValueSums.BytesPerBlock(config.KvHeads, config.HeadDim) : 0;
        return capacity * LabelBytesPerToken(config, options) + tables + sums
            + (long)decoder.MaxSequences * SetsFor(config, options) * sizeof(float) * (capacity + lists * (options.Rule.Budget((int)capacity) + (options.MeanValue ? 2 : 1)));
    }

    public override void Append(int layer, StepBatch batch, DeviceSpan k)
    {
        if (_labels[layer] is { } labels) _backend.AppendLabels(_shape, labels, batch, k);
        if (_sums[layer] is { } sums) _backend.AppendValueSums(_shape, _cache.Layers[layer], sums, batch);
    }

    public override int Mode(StepBatch batch) => batch.MaxLength <= _options.DenseBelow ? DenseMode : SparseMode;

    public override void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        if (!IsSparse(layer, batch))
        {
            _backend.Attend(_shape, _cache.Layers[layer], batch, q, y);
            return;
        }
        // the first layer that selects has none before it to be predicted in
        if (_prediction == KvPrediction.Trust && Predicts(layer, batch))
        {
            AttendTo(_predicted[layer & 1]!, layer, batch, q, y);
            return;
        }
        Select(layer, batch, q);
        AttendSelected(layer, batch, q, y);
    }

    internal override bool Predicts(int layer, StepBatch batch) => _prediction != KvPrediction.Off && layer > 0 && layer < _labels.Length && IsSparse(layer, batch);

    internal override void Predict(int layer, StepBatch batch, DeviceSpan q)
    {
        var sets = _predicted[layer & 1]!;
        _backend.ScoreAndSelect(_shape, _labels[layer]!, batch, q, _options.Reduction, _options.Rule, _scores!, sets);
        _backend.Prefetch(_cache.Layers[layer], batch, sets);
    }

    /// <summary>Whether a step in <paramref name="layer"/> selects; it is dense otherwise.</summary>
    internal bool IsSparse(int layer, StepBatch batch) => _labels[layer] is not null && Mode(batch) != DenseMode;

    /// <summary>First part of <see cref="Attend"/> in a sparse layer: scores and the sets.</summary>
    internal void Select(int layer, StepBatch batch, DeviceSpan q) =>
        _backend.ScoreAndSelect(_shape, _labels[layer]!, batch, q, _options.Reduction, _options.Rule, _scores!, _sets!);

    /// <summary>Second part: attention over the sets that <see cref="Select"/> left.</summary>
    internal void AttendSelected(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y) => AttendTo(_sets!, layer, batch, q, y);

    private void AttendTo(TokenSets sets, int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        _backend.AttendSelected(_shape, _cache.Layers[layer], batch, q, sets, y);
        if (_sums[layer] is { } sums) _backend.BlendMeanValue(_shape, _cache.Layers[layer], sums, batch, sets, y);
    }

    internal override TokenSets? SetsOf(int layer, StepBatch batch) => IsSparse(layer, batch) ? _sets : null;

    /// <summary>Scores of the last step.</summary>
    internal TokenScores Scores => _scores!;

    /// <summary>Sets of the last step.</summary>
    internal TokenSets Sets => _sets!;

    internal override TokenSets? Selection => _sets;

    internal override IReadOnlyList<DeviceBuffer?> State(int layer) => [_labels[layer]?.Codes, _labels[layer]?.TokenScales, _sums[layer]?.Sums, _sums[layer]?.Counts];

    // Labels of other channels look alike.
    internal override string StateSignature
    {
        get
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            foreach (var labels in _labels)
                foreach (var table in (DeviceBuffer?[])[labels?.ChannelIndices, labels?.Offsets, labels?.Steps])
                    if (table is not null) hash.AppendData(((DeviceSpan)table).ToArray<byte>((int)table.ByteLength));
            return $"labels of {_options.Channels} channels in {_options.LabelFormat}, scaling {_options.Scaling}, from layer {_options.DenseLayers}{(_options.MeanValue ? ", sums of V" : "")}, map {Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 8))}";
        }
    }

    // the sums of V would hold the whole run
    internal override bool TakesRuns => !_options.MeanValue;

    /// <summary>The label cache of <paramref name="layer"/>; null where the layer is dense.</summary>
    internal LabelLayer? Labels(int layer) => _labels[layer];

    public override long BytesRead(int position)
    {
        long visible = position + 1L - _shape.FirstVisible(position);
        long kv = KvCache.BytesPerToken(_config, _cache.Format) / _config.Layers;
        int dense = position + 1 <= _options.DenseBelow ? _config.Layers : Math.Min(_options.DenseLayers, _config.Layers);
        long sparse = _config.Layers - dense;
        if (sparse == 0) return visible * kv * dense;
        // Heads with sets of their own read the rows of their kv head once each.
        long rows = (long)_options.Rule.Budget((int)visible) * (_options.SetPerQueryHead ? _config.GroupSize : 1);
        return visible * kv * dense + visible * AuxiliaryBytesPerToken + rows * kv * sparse;
    }

    internal override long BytesUnread(StepBatch batch, TokenSets sets)
    {
        int[] counts = ((DeviceSpan)sets.Counts).ToArray<int>(batch.Rows * sets.Sets);
        long unread = 0;
        for (int i = 0; i < counts.Length; i++)
        {
            int position = batch.HostPositions[i / sets.Sets];
            unread += _options.Rule.Budget(position + 1 - _shape.FirstVisible(position)) - counts[i];
        }
        return unread * (KvCache.BytesPerToken(_config, _cache.Format) / _config.Layers / _config.KvHeads);
    }

    public override void Dispose()
    {
        foreach (var labels in _labels) labels?.Dispose();
        foreach (var sums in _sums) sums?.Dispose();
        _scores?.Dispose();
        _sets?.Dispose();
        foreach (var sets in _predicted) sets?.Dispose();
    }

    private static int SetsFor(LlamaConfig config, AttentionOptions options) => options.SetPerQueryHead ? config.Heads : config.KvHeads;

    private static bool StoresScales(AttentionOptions options) => options.Scaling == LabelScaling.PerToken && options.LabelFormat != LabelFormat.F16;

    private static bool HasTables(AttentionOptions options) => options.Scaling == LabelScaling.Static && options.LabelFormat != LabelFormat.F16;

    private LabelLayer NewLayer(ChannelMap map, int layer)
    {
        int r = _options.Channels, kvHeads = _config.KvHeads;
        var indices = new int[kvHeads * r];
        var offsets = new float[kvHeads * r];
        var steps = new float[kvHeads * r];
        bool tables = HasTables(_options);
        for (int head = 0; head < kvHeads; head++)
        {
            var channels = map[layer, head];
            IReadOnlyList<int> ranking = channels.Ranking;
            if (_options.RandomChannels)
            {
                int[] drawn = [.. Enumerable.Range(0, map.HeadDim)];
                // a stream of its own for every head, the same in every run
                new Random(layer * kvHeads + head).Shuffle(drawn);
                ranking = drawn;
            }
            for (int i = 0; i < r; i++)
            {
                int c = ranking[i];
                indices[head * r + i] = c;
                if (!tables) continue;
                offsets[head * r + i] = channels.Mean![c];
                // A channel that never varied carries nothing: any positive step keeps its code finite.
                steps[head * r + i] = Math.Max(channels.Deviation![c], 1e-6f) * _options.LabelFormat.GaussianStep();
            }
        }
        long tokens = (long)_cache.Blocks * KvLayer.BlockTokens * kvHeads;
        return new LabelLayer
        {
            Format = _options.LabelFormat,
            Scaling = _options.Scaling,
            Channels = r,
            ChannelIndices = Table(indices),
            Offsets = tables ? Table(offsets) : null,
            Steps = tables ? Table(steps) : null,
            Codes = _backend.Allocate(tokens * LabelLayer.WordsFor(_options.LabelFormat, r) * sizeof(uint), "labels"),
            TokenScales = StoresScales(_options) ? _backend.Allocate(tokens * sizeof(uint), "labels") : null,
        };
    }

    private DeviceBuffer Table<T>(T[] values) where T : unmanaged
    {
        var buffer = _backend.Allocate((long)values.Length * sizeof(int), "labels");
        ((DeviceSpan)buffer).Upload<T>(values);
        return buffer;
    }
}
