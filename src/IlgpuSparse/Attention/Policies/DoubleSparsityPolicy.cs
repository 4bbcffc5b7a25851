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
    /// <summary>The <see cref="Mode"/> of steps that select.</summary>
    internal const int SparseMode = 0;

    private const int DenseMode = 1;

    private readonly ComputeBackend _backend;
    private readonly LlamaConfig _config;
    private readonly KvCache _cache;
    private AttentionOptions _options;
    private readonly AttentionShape _shape;
    private readonly int _maxRows, _maxAppended;
    private readonly (DeviceBuffer Codes, DeviceBuffer? Scales)?[] _codes;
    private readonly ValueSums?[] _sums;
    private readonly MappedLabels? _own;
    private MappedLabels? _labels;
    private readonly DeviceBuffer? _keys, _queries;
    private readonly TokenScores? _scores;
    private readonly TokenSets? _sets;
    private readonly LayerPrediction _prediction;

    /// <summary>Allocates labels, scores and sets. Without <paramref name="channels"/> it attends sparsely only after <see cref="Use"/>.</summary>
    public DoubleSparsityPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, ChannelMap? channels, DecoderOptions decoder)
    {
        channels?.CheckFits(config);
        channels?.CheckServes(options);
        if (options.Label == LabelKind.Channels && options.Channels > config.HeadDim)
            throw new ArgumentException($"channels={options.Channels}: a head of this model has {config.HeadDim}", nameof(options));
        _maxRows = decoder.MaxSequences;
        _maxAppended = LlamaDecoder.MaxRows(decoder);
        (_backend, _config, _cache, _options) = (backend, config, cache, options);
        _shape = new AttentionShape(config.Heads, config.KvHeads, config.HeadDim, config.SlidingWindow);
        _codes = new (DeviceBuffer, DeviceBuffer?)?[config.Layers];
        _sums = new ValueSums?[config.Layers];
        _prediction = new LayerPrediction(decoder, config.Layers, options, channels?.PredictionOf(options));
        try
        {
            for (int layer = Math.Min(options.DenseLayers, config.Layers); layer < config.Layers; layer++)
            {
                long tokens = (long)cache.Blocks * KvLayer.BlockTokens * config.KvHeads;
                var codes = backend.Allocate(tokens * LabelLayer.WordsFor(options.LabelFormat, options.Channels) * sizeof(uint), "labels");
                _codes[layer] = (codes, null); // freed with the rest if there is no room for the scales
                if (DoubleSparsityMemory.StoresScales(options)) _codes[layer] = (codes, backend.Allocate(tokens * sizeof(uint), "labels"));
                if (options.MeanValue) _sums[layer] = ValueSums.Allocate(backend, cache.Blocks, config.KvHeads, config.HeadDim);
            }
            if (channels is not null) _labels = _own = NewLabels(channels);
            int outputs = _own?.Outputs ?? LabelTables.OutputsOf(config, options, null, 0);
            if (outputs > 0)
            {
                _keys = backend.Allocate(DoubleSparsityMemory.ProjectedKeys(config, decoder) * outputs * sizeof(float), "scratch");
                _queries = backend.Allocate((long)_maxRows * config.Heads * outputs * sizeof(float), "scratch");
            }
            int sets = options.SetsOf(config);
            _scores = new TokenScores(backend.Allocate((long)_maxRows * sets * cache.Capacity * sizeof(float), "scratch"), sets, cache.Capacity);
            int budget = options.MostTokens(cache.Capacity);
            _sets = NewSets();
            _prediction.Reserve(NewSets);

            TokenSets NewSets() => TokenSets.Allocate(backend, _maxRows, sets, budget, options.MeanValue);
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
        set
        {
            _options = _options with { Rule = value };
            _labels?.Budgets?.Deal(value);
        }
    }

    /// <summary>The labels that <paramref name="map"/> makes over this policy's codes, for <see cref="Use"/>; whoever asks for them frees them.</summary>
    internal MappedLabels NewLabels(ChannelMap map) => new(_backend, _config, _options, map, _codes, _maxRows, _cache.Capacity);

    /// <summary>Attends, and makes labels, by <paramref name="labels"/> from now on.</summary>
    internal void Use(MappedLabels labels)
    {
        if (_labels == labels) return;
        _labels = labels;
        labels.Budgets?.Deal(_options.Rule);
    }

    private SelectionRule RuleOf(int layer, int kvHead) => _labels?.Budgets is { } budgets ? budgets[layer, kvHead] : _options.Rule;

    public override long AuxiliaryBytesPerToken => DoubleSparsityMemory.LabelBytesPerToken(_config, _options);

    public override void Append(int layer, StepBatch batch, DeviceSpan k)
    {
        AppendLabels(layer, batch, k);
        AppendSums(layer, batch);
    }

    /// <summary>First part of <see cref="Append"/>: the labels.</summary>
    internal void AppendLabels(int layer, StepBatch batch, DeviceSpan k)
    {
        if (_codes[layer] is not null) _backend.AppendLabels(LabelShape(layer), Labels(layer)!, batch, LabelKeys(layer, batch, k));
    }

    // The labels' form of the keys, which is made here.
    private DeviceSpan LabelKeys(int layer, StepBatch batch, DeviceSpan k)
    {
        if (_labels!.Projections[layer] is not { } projections) return k;
        if (batch.Rows > _maxAppended) throw new ArgumentException($"{batch.Rows} rows are more than the {_maxAppended} that the policy was made for", nameof(batch));
        _backend.ProjectHeads(projections.Keys, _config.KvHeads, k, batch.Rows, _keys!);
        return _keys!;
    }

    /// <summary>Second part: the sums of V.</summary>
    internal void AppendSums(int layer, StepBatch batch)
    {
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
        if (Drops(layer, batch) || Trusts(layer, batch))
        {
            if (Drops(layer, batch))
            {
                Select(layer, batch, q);
                _backend.DropMissing(_cache.Layers[layer], batch, _sets!, _scores!, _options.Rule, _prediction.LateLeast);
            }
            _backend.AttendSelected(_shape, _cache.Layers[layer], batch, q, SetsOf(layer, batch)!, y);
        }
        // a layer that cannot be predicted, as the first one, has sets of its own query
        else _backend.AttendByLabels(_shape, _cache.Layers[layer], batch, q, Choice(_sets!, layer, batch, q), y);
        Blend(SetsOf(layer, batch)!, layer, batch, y);
    }

    internal override bool AppendsRows => true;

    internal override void AppendAndAttend(int layer, StepBatch batch, DeviceSpan k, DeviceSpan q, DeviceSpan y, DeviceSpan? v = null)
    {
        OwnRows? own = v is { } values ? new OwnRows(k, values) : null;
        bool sparse = IsSparse(layer, batch), apart = batch.IsRun || Drops(layer, batch) || Trusts(layer, batch);
        // sums are of what is in the cache
        if (own is { } rows && (apart || _sums[layer] is not null))
        {
            _backend.AppendKv(_shape, _cache.Layers[layer], batch, rows.K, rows.V);
            own = null;
        }
        if (apart || !sparse)
        {
            Append(layer, batch, k);
            if (own is { } missing) _backend.AppendAndAttend(_shape, _cache.Layers[layer], batch, missing, q, y);
            else Attend(layer, batch, q, y);
            return;
        }
        AppendSums(layer, batch);
        _backend.AttendByLabels(_shape, _cache.Layers[layer], batch, q, Choice(_sets!, layer, batch, q) with { Keys = LabelKeys(layer, batch, k) }, y, own);
        Blend(_sets!, layer, batch, y);
    }

    // Whether rows that were not predicted are left out if they weigh little.
    private bool Drops(int layer, StepBatch batch) => _prediction.Drops && Predicts(layer, batch);

    // Whether the predicted sets are the ones that are read.
    private bool Trusts(int layer, StepBatch batch) => _prediction.IsTrusted && Predicts(layer, batch);

    internal override bool Predicts(int layer, StepBatch batch) => _prediction.Covers(layer, _options.Rule) && IsSparse(layer, batch);

    internal override void Predict(int layer, StepBatch batch, DeviceSpan q)
    {
        var sets = _prediction.Sets(layer);
        SelectInto(sets, layer, batch, q);
        _backend.Prefetch(_cache.Layers[layer], batch, sets);
    }

    /// <summary>Whether a step in <paramref name="layer"/> selects; it is dense otherwise.</summary>
    internal bool IsSparse(int layer, StepBatch batch) => _codes[layer] is not null && Mode(batch) != DenseMode;

    /// <summary>First part of <see cref="Attend"/> in a sparse layer: scores and the sets.</summary>
    internal void Select(int layer, StepBatch batch, DeviceSpan q) => SelectInto(_sets!, layer, batch, q);

    /// <summary>As <see cref="Select"/>, into <paramref name="sets"/>.</summary>
    internal void SelectInto(TokenSets sets, int layer, StepBatch batch, DeviceSpan q)
    {
        var choice = Choice(sets, layer, batch, q);
        _backend.ScoreAndSelect(choice.Shape, choice.Labels, batch, choice.Queries, choice.Reduction, choice.Rule, choice.Scores, choice.Sets);
    }

    // With the labels' form of the queries, which is made here.
    private LabelChoice Choice(TokenSets sets, int layer, StepBatch batch, DeviceSpan q)
    {
        if (_labels!.Projections[layer] is { } projections)
        {
            _backend.ProjectHeads(projections.Queries, _config.Heads, q, batch.Rows, _queries!);
            q = _queries!;
        }
        return new LabelChoice(LabelShape(layer), Labels(layer)!, q, _options.Reduction, _options.Rule, _scores!, _labels.Budgets is { } budgets ? sets with { Factors = budgets.Factors(layer) } : sets) { KeepsScores = KeepsScores };
    }

    // Keys and queries as labels and scores see them.
    private AttentionShape LabelShape(int layer) => _labels!.Projections[layer] is { } projections ? _shape with { HeadDim = projections.Keys.Outputs } : _shape;

    /// <summary>Second part: attention over the sets that <see cref="Select"/> left.</summary>
    internal void AttendSelected(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y) => AttendTo(_sets!, layer, batch, q, y);

    /// <summary>As <see cref="AttendSelected"/>, over <paramref name="sets"/>.</summary>
    internal void AttendTo(TokenSets sets, int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        _backend.AttendSelected(_shape, _cache.Layers[layer], batch, q, sets, y);
        Blend(sets, layer, batch, y);
    }

    private void Blend(TokenSets sets, int layer, StepBatch batch, DeviceSpan y)
    {
        if (_sums[layer] is { } sums) _backend.BlendMeanValue(_shape, _cache.Layers[layer], sums, batch, sets, y);
    }

    internal override TokenSets? SetsOf(int layer, StepBatch batch) => !IsSparse(layer, batch) ? null : Trusts(layer, batch) ? _prediction.Sets(layer) : _sets;

    /// <summary>The sets that were predicted for <paramref name="layer"/> in the last step; null where it is not predicted.</summary>
    internal TokenSets? PredictedSetsOf(int layer, StepBatch batch) => Predicts(layer, batch) ? _prediction.Sets(layer) : null;

    /// <summary>Whether the scores of steps are read afterwards.</summary>
    internal bool KeepsScores { get; set; }

    /// <summary>Scores of the last step, with <see cref="KeepsScores"/>.</summary>
    internal TokenScores Scores => _scores!;

    /// <summary>Sets of the last step.</summary>
    internal TokenSets Sets => _sets!;

    internal override TokenSets? Selection => _sets;

    internal override IReadOnlyList<DeviceBuffer?> State(int layer) => [_codes[layer]?.Codes, _codes[layer]?.Scales, _sums[layer]?.Sums, _sums[layer]?.Counts];

    // Labels of other channels look alike.
    internal override string StateSignature =>
        $"{_options.Label} labels of {_options.Channels} channels in {_options.LabelFormat}, scaling {_options.Scaling}, from layer {_options.DenseLayers}{(_options.MeanValue ? ", sums of V" : "")}, map {_labels!.Fingerprint()}";

    // The sums of V would hold the whole run, and a layer that is predicted would be asked for tokens of the run whose labels are not there yet.
    internal override bool TakesRuns => !_options.MeanValue && _prediction.IsOff;

    /// <summary>The label cache of <paramref name="layer"/>; null where the layer is dense.</summary>
    internal LabelLayer? Labels(int layer) => _labels?.Layers[layer];

    public override long BytesRead(int position)
    {
        long visible = position + 1L - _shape.FirstVisible(position);
        long kv = KvCache.BytesPerToken(_config, _cache.Format) / _config.Layers;
        int dense = position + 1 <= _options.DenseBelow ? _config.Layers : Math.Min(_options.DenseLayers, _config.Layers);
        if (dense == _config.Layers) return visible * kv * dense;
        // Heads with sets of their own read the rows of their kv head once each.
        long rows = 0;
        for (int layer = dense; layer < _config.Layers; layer++)
            for (int head = 0; head < _config.KvHeads; head++) rows += RuleOf(layer, head).Budget((int)visible);
        return visible * kv * dense + visible * AuxiliaryBytesPerToken + rows * (_options.SetPerQueryHead ? _config.GroupSize : 1) * kv / _config.KvHeads;
    }

    internal override long BytesUnread(int layer, StepBatch batch, TokenSets sets)
    {
        int[] counts = ((DeviceSpan)sets.Counts).ToArray<int>(batch.Rows * sets.Sets);
        long unread = 0;
        for (int i = 0; i < counts.Length; i++)
        {
            int position = batch.HostPositions[i / sets.Sets];
            unread += RuleOf(layer, i % sets.Sets * _config.KvHeads / sets.Sets).Budget(position + 1 - _shape.FirstVisible(position)) - counts[i];
        }
        return unread * (KvCache.BytesPerToken(_config, _cache.Format) / _config.Layers / _config.KvHeads);
    }

    public override void Dispose()
    {
        foreach (var codes in _codes)
        {
            codes?.Codes.Dispose();
            codes?.Scales?.Dispose();
        }
        foreach (var owned in (IEnumerable<IDisposable?>)[_own, .. _sums, _keys, _queries, _scores, _sets, _prediction]) owned?.Dispose();
    }
}
