using System.Diagnostics;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// Double Sparsity whose channel maps come from the texts themselves (<c>map=online</c>): queries and keys are counted as they pass by, in prefill and in steps; the first sparse step of a text makes its map, and its labels
/// from the K in the cache. When the text has drifted too far from what the map rests on, both are made anew.
/// </summary>
/// <remarks>
/// A map belongs to the blocks of the cache: a sequence has the map of its first block, so that sequences which share their beginning share the map, and a remake concerns all their labels. Queries and keys of steps come to the host,
/// those of prompts are summed where they are; its steps are not recorded.
/// </remarks>
internal sealed class OnlineDoubleSparsityPolicy : AttentionPolicy
{
    /// <summary>Tokens between two looks at the drift of a text: a multiple of what a run may have, so that runs and single steps are looked at in the same places.</summary>
    internal const int CheckedTokens = 32;

    /// <summary>Tokens that a map needs: steps of shorter texts attend to every token.</summary>
    internal const int LeastTokens = 64;

    private readonly ComputeBackend _backend;
    private readonly LlamaConfig _config;
    private readonly KvCache _cache;
    private readonly AttentionOptions _options;
    private readonly AttentionShape _shape;
    private readonly DoubleSparsityPolicy _inner;
    private readonly TextKeys _keys;
    private readonly MappedTexts _texts;
    private readonly StepBatch _row, _block;
    private readonly int _blockRows;
    private readonly DeviceBuffer _blockKeys;
    private readonly List<TokenSets> _rowSets = [];
    private readonly TokenSets? _combined;
    private readonly PassingRows _passing;
    private DeviceSpan _k; // of the layer whose queries come next
    private double _seconds;
    private int _maps;

    /// <summary>Allocates.</summary>
    /// <exception cref="NotSupportedException">K and V lie in host memory.</exception>
    /// <exception cref="ModelFormatException">The prior is damaged, or of another model.</exception>
    public OnlineDoubleSparsityPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, DecoderOptions decoder)
    {
        if (cache is HostKvCache) throw new NotSupportedException("map=online needs K on the device, and --kv host keeps it in host memory: make a map with 'ilgpusparse calibrate'");
        (_backend, _config, _cache, _options) = (backend, config, cache, options);
        _shape = new AttentionShape(config.Heads, config.KvHeads, config.HeadDim, config.SlidingWindow);
        var prior = options.PriorPath is { } path ? ChannelMap.Read(path, config) : null;
        if (prior is not null && prior[0, 0].Scores is null) throw new ArgumentException($"prior={options.PriorPath}: this channel map has no scores of its channels; calibrate", nameof(options));
        _inner = new DoubleSparsityPolicy(backend, config, cache, options, null, decoder);
        _keys = new TextKeys(config, cache);
        _texts = new MappedTexts(config, cache, _keys, prior, MostTexts(decoder));
        int rows = LlamaDecoder.MaxRows(decoder);
        _blockRows = Math.Min(rows, KvLayer.BlockTokens);
        try
        {
            _passing = new PassingRows(backend, config, rows, OnlineCalibration.SegmentTokens);
            _row = new StepBatch(backend, 1, 1, cache.Blocks);
            _block = new StepBatch(backend, _blockRows, 1, 1);
            _blockKeys = backend.Allocate((long)KvLayer.BlockTokens * config.KvHeads * config.HeadDim * sizeof(float), "scratch");
            for (int i = 0; i < decoder.MaxSequences && decoder.MaxSequences > 1; i++) _rowSets.Add(NewSets(1, _inner.Sets.Capacity));
            if (decoder.MaxSequences > 1) _combined = NewSets(decoder.MaxSequences, CombinedCapacity(_inner.Sets.Capacity));
        }
        catch
        {
            Dispose();
            throw;
        }

        TokenSets NewSets(int setRows, int capacity) => TokenSets.Allocate(backend, setRows, options.SetsOf(config), capacity, options.MeanValue);
    }

    /// <summary>The texts that have maps, or will.</summary>
    internal IReadOnlyList<MappedText> Texts => _texts.Live;

    public override string Description => _inner.Description;
    public override long AuxiliaryBytesPerToken => _inner.AuxiliaryBytesPerToken;
    public override bool IsRecordable => false;
    internal override bool TakesRuns => _inner.TakesRuns;
    internal override TokenSets? Selection => _inner.Selection;
    internal override double CalibrationSeconds => _seconds;
    internal override int CalibratedMaps => _maps;

    internal override SelectionRule Rule
    {
        get => _inner.Rule;
        set => _inner.Rule = value;
    }

    internal override IReadOnlyList<DeviceBuffer?> State(int layer) =>
        throw new NotSupportedException($"{Description}: a state file does not hold the channel map of a text, and labels mean nothing without it; make a map with 'ilgpusparse calibrate', or use full attention");

    public override long BytesRead(int position) => _inner.BytesRead(position);
    internal override long BytesUnread(int layer, StepBatch batch, TokenSets sets) => _inner.BytesUnread(layer, batch, sets);
    public override int Mode(StepBatch batch) => _inner.Mode(batch);

    /// <summary>Labels of <see cref="DoubleSparsityMemory.PlannedBytes"/>, tables and statistics of as many texts as there may be (the latter on the host, which for the CPU is the same), and the lists of their rows.</summary>
    public static long PlannedBytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder)
    {
        decoder = decoder with { Channels = null };
        long tables = HeadBudgets.Bytes(config, options, decoder), sets = 0;
        for (int layer = Math.Min(options.DenseLayers, config.Layers); layer < config.Layers; layer++) tables += LabelTables.Bytes(config, options, null, layer);
        if (decoder.MaxSequences > 1)
        {
            int capacity = options.MostTokens(KvCache.BlocksFor(decoder.Capacity) * KvLayer.BlockTokens);
            sets = (long)decoder.MaxSequences * options.SetsOf(config) * sizeof(int) * (capacity + CombinedCapacity(capacity) + (options.MeanValue ? 4L : 2));
        }
        return DoubleSparsityMemory.PlannedBytes(config, options, decoder) + (MostTexts(decoder) - 1) * tables + MostTexts(decoder) * OnlineCalibration.Bytes(config) + sets + (long)KvLayer.BlockTokens * config.KvHeads * config.HeadDim * sizeof(float)
            + PassingRows.DeviceBytes(config, LlamaDecoder.MaxRows(decoder), OnlineCalibration.SegmentTokens);
    }

    public override void Append(int layer, StepBatch batch, DeviceSpan k)
    {
        if (layer == 0) Begin(batch);
        _k = k;
        if (_texts.Common is { } text)
        {
            if (text.Labels is { } labels)
            {
                _inner.Use(labels);
                _inner.AppendLabels(layer, batch, k);
            }
        }
        else
        {
            foreach (var (row, labels) in _texts.Rows())
            {
                if (labels is null) continue;
                SetRow(batch, row);
                _inner.Use(labels);
                _inner.AppendLabels(layer, _row, k.SkipFloats((long)row * _config.KvHeads * _config.HeadDim));
            }
        }
        _inner.AppendSums(layer, batch);
    }

    public override void Observe(int layer, StepBatch batch, DeviceSpan q) => _texts.Count(layer, batch.Rows, _passing, q, _k);

    public override void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        Observe(layer, batch, q);
        if (!_inner.IsSparse(layer, batch))
        {
            _inner.Attend(layer, batch, q, y);
            return;
        }
        if (_texts.Common is { } text)
        {
            if (text.Labels is null) _backend.Attend(_shape, _cache.Layers[layer], batch, q, y);
            else
            {
                _inner.Use(text.Labels);
                _inner.Attend(layer, batch, q, y);
            }
            return;
        }
        int width = _config.Heads * _config.HeadDim;
        foreach (var (row, labels) in _texts.Rows())
        {
            DeviceSpan query = q.SkipFloats((long)row * width), output = y.SkipFloats((long)row * width);
            SetRow(batch, row);
            if (labels is null)
            {
                _backend.Attend(_shape, _cache.Layers[layer], _row, query, output);
                continue;
            }
            _inner.Use(labels);
            _inner.SelectInto(_rowSets[row], layer, _row, query);
            _inner.AttendTo(_rowSets[row], layer, _row, query, output);
        }
    }

    internal override TokenSets? SetsOf(int layer, StepBatch batch)
    {
        if (!_inner.IsSparse(layer, batch) || _texts.Common is { Labels: null }) return null;
        if (_texts.Common is not null) return _inner.Sets;
        // for those who look on: steps attend to the lists of the rows
        int sets = _combined!.Sets;
        foreach (var (row, labels) in _texts.Rows())
        {
            int[] counts, indices;
            if (labels is null)
            {
                counts = [.. Enumerable.Repeat(batch.HostPositions[row] + 1, sets)];
                indices = [.. Enumerable.Range(0, sets * _combined.Capacity).Select(i => i % _combined.Capacity)];
            }
            else
            {
                int capacity = _rowSets[row].Capacity;
                counts = ((DeviceSpan)_rowSets[row].Counts).ToArray<int>(sets);
                int[] own = ((DeviceSpan)_rowSets[row].Indices).ToArray<int>(sets * capacity);
                indices = new int[sets * _combined.Capacity];
                for (int set = 0; set < sets; set++) own.AsSpan(set * capacity, capacity).CopyTo(indices.AsSpan(set * _combined.Capacity));
            }
            new DeviceSpan(_combined.Counts, (long)row * sets * sizeof(int)).Upload<int>(counts);
            new DeviceSpan(_combined.Indices, (long)row * sets * _combined.Capacity * sizeof(int)).Upload<int>(indices);
        }
        return _combined;
    }

    // Maps that are due are made before: every question that comes back to the mark begins with them.
    public override void Mark()
    {
        foreach (var text in _texts.Live)
        {
            Prepare(text);
            text.Mark();
        }
    }

    public override void Return()
    {
        foreach (var text in _texts.Live)
            if (text.Return()) Relabel(text);
    }

    // Whose rows they are, and what of their maps is due.
    private void Begin(StepBatch batch)
    {
        _texts.Assign(batch);
        foreach (var run in _texts.Runs.Where(r => r.Sampled))
        {
            var blocks = batch.HostBlocks(run.First);
            run.Text.Blocks = blocks[..((run.Start + run.Rows - 1) / KvLayer.BlockTokens + 1)].ToArray();
            run.Text.Length = run.Start;
            if (!batch.IsDense && Mode(batch) == DoubleSparsityPolicy.SparseMode) Prepare(run.Text);
            run.Text.Calibration.Begin(run.Start, run.Rows);
            run.Text.Length = run.Start + run.Rows;
            // after a part of a prompt the next step looks
            run.Text.Unchecked = batch.IsPrefill ? CheckedTokens : run.Text.Unchecked + run.Rows;
        }
    }

    private void SetRow(StepBatch batch, int row) => _row.SetDecode([batch.HostPositions[row]], [batch.HostBlocks(row).ToArray()]);

    private void Prepare(MappedText text)
    {
        if (text.Calibration.Tokens < LeastTokens || text.Length < 2) return;
        if (text.Labels is not null)
        {
            if (text.Unchecked < CheckedTokens || _options.Drift >= 1) return;
            text.Unchecked = 0;
            if (text.Calibration.Drift() <= _options.Drift) return;
        }
        long begin = Stopwatch.GetTimestamp();
        int stride = (text.Length + OnlineCalibration.MostKeys - 1) / OnlineCalibration.MostKeys;
        bool directions = _options.Label == LabelKind.Rotated || _options.HeadBudgets;
        text.Map(_inner.NewLabels(text.Calibration.Map((layer, head) => _keys.OfHead(text, layer, head, stride), stride, directions)));
        Relabel(text);
        _maps++;
        _seconds += Stopwatch.GetElapsedTime(begin).TotalSeconds;
    }

    // Labels of every block of the text by its map; what lies behind the last token is never looked at.
    private void Relabel(MappedText text)
    {
        _inner.Use(text.Labels!);
        int width = _config.KvHeads * _config.HeadDim;
        var keys = new float[KvLayer.BlockTokens * width];
        foreach (int block in _texts.BlocksOf(text))
        {
            for (int layer = Math.Min(_options.DenseLayers, _config.Layers); layer < _config.Layers; layer++)
            {
                _keys.OfBlock(layer, block, keys);
                ((DeviceSpan)_blockKeys).Upload<float>(keys);
                for (int start = 0; start < KvLayer.BlockTokens; start += _blockRows)
                {
                    _block.SetPrefill(start, Math.Min(_blockRows, KvLayer.BlockTokens - start), [block]);
                    _inner.AppendLabels(layer, _block, ((DeviceSpan)_blockKeys).SkipFloats((long)start * width));
                }
            }
        }
    }

    // Those of a step, and as many that are kept for later ones.
    private static int MostTexts(DecoderOptions decoder) => 2 * decoder.MaxSequences + 2;

    private static int CombinedCapacity(int capacity) => Math.Max(capacity, LeastTokens);

    public override void Dispose()
    {
        _texts.Dispose();
        foreach (var sets in _rowSets) sets.Dispose();
        _combined?.Dispose();
        _blockKeys?.Dispose();
        _passing?.Dispose();
        _block?.Dispose();
        _row?.Dispose();
        _inner.Dispose();
    }
}
