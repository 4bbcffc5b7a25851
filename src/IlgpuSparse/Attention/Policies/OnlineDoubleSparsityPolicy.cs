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
/// A map belongs to the blocks of the cache: a sequence has the map of its first block, so that sequences which share their beginning share the map, and a remake concerns all their labels. Queries and keys come to the host,
/// on every backend; its steps are not recorded.
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
    private readonly ChannelMap? _prior;
    private readonly AttentionShape _shape;
    private readonly DoubleSparsityPolicy _inner;
    private readonly MappedText?[] _texts; // by block of the cache
    private readonly List<MappedText> _live = [];
    private readonly int _mostTexts;
    private readonly List<Run> _runs = [];
    private readonly KeyReader _reader;
    private readonly StepBatch _row, _block;
    private readonly int _blockRows;
    private readonly DeviceBuffer _blockKeys;
    private readonly List<TokenSets> _rowSets = [];
    private readonly TokenSets? _combined;
    private readonly float[] _q, _k;
    private long _passes;
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
        _prior = options.PriorPath is { } path ? ChannelMap.Read(path, config) : null;
        if (_prior is not null && _prior[0, 0].Scores is null) throw new ArgumentException($"prior={options.PriorPath}: this channel map has no scores of its channels; calibrate", nameof(options));
        _inner = new DoubleSparsityPolicy(backend, config, cache, options, null, decoder);
        _texts = new MappedText?[cache.Blocks];
        _reader = new KeyReader(config.KvHeads, config.HeadDim);
        _mostTexts = MostTexts(decoder);
        int rows = LlamaDecoder.MaxRows(decoder);
        _blockRows = Math.Min(rows, KvLayer.BlockTokens);
        _q = new float[rows * config.Heads * config.HeadDim];
        _k = new float[Math.Max(rows, KvLayer.BlockTokens) * config.KvHeads * config.HeadDim];
        try
        {
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

        TokenSets NewSets(int setRows, int capacity)
        {
            long sets = (long)setRows * options.SetsOf(config);
            return new TokenSets(backend.Allocate(sets * capacity * sizeof(int), "scratch"), backend.Allocate(sets * sizeof(int), "scratch"), options.SetsOf(config), capacity,
                options.MeanValue ? backend.Allocate(sets * sizeof(float), "scratch") : null);
        }
    }

    /// <summary>The texts that have maps, or will.</summary>
    internal IReadOnlyList<MappedText> Texts => _live;

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

    /// <summary>Labels of <see cref="DoubleSparsityPolicy.PlannedBytes"/>, tables and statistics of as many texts as there may be (the latter on the host, which for the CPU is the same), and the lists of their rows.</summary>
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
        return DoubleSparsityPolicy.PlannedBytes(config, options, decoder) + (MostTexts(decoder) - 1) * tables + MostTexts(decoder) * OnlineCalibration.Bytes(config) + sets + (long)KvLayer.BlockTokens * config.KvHeads * config.HeadDim * sizeof(float);
    }

    public override void Append(int layer, StepBatch batch, DeviceSpan k)
    {
        if (layer == 0) Begin(batch);
        k.Download(_k.AsSpan(0, batch.Rows * _config.KvHeads * _config.HeadDim));
        if (Common is { } text)
        {
            if (text.Labels is { } labels)
            {
                _inner.Use(labels);
                _inner.AppendLabels(layer, batch, k);
            }
        }
        else
        {
            foreach (var (row, labels) in Rows())
            {
                if (labels is null) continue;
                SetRow(batch, row);
                _inner.Use(labels);
                _inner.AppendLabels(layer, _row, k.SkipFloats((long)row * _config.KvHeads * _config.HeadDim));
            }
        }
        _inner.AppendSums(layer, batch);
    }

    public override void Observe(int layer, StepBatch batch, DeviceSpan q)
    {
        int queryWidth = _config.Heads * _config.HeadDim, keyWidth = _config.KvHeads * _config.HeadDim;
        q.Download(_q.AsSpan(0, batch.Rows * queryWidth));
        foreach (var run in _runs)
            run.Text.Calibration.Add(layer, run.Rows, _q.AsSpan(run.First * queryWidth, run.Rows * queryWidth), _k.AsSpan(run.First * keyWidth, run.Rows * keyWidth), run.Sampled);
    }

    public override void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        Observe(layer, batch, q);
        if (!_inner.IsSparse(layer, batch))
        {
            _inner.Attend(layer, batch, q, y);
            return;
        }
        if (Common is { } text)
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
        foreach (var (row, labels) in Rows())
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
        if (!_inner.IsSparse(layer, batch) || Common is { Labels: null }) return null;
        if (Common is not null) return _inner.Sets;
        // for those who look on: steps attend to the lists of the rows
        int sets = _combined!.Sets;
        foreach (var (row, labels) in Rows())
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
        foreach (var text in _live)
        {
            Prepare(text);
            text.Mark();
        }
    }

    public override void Return()
    {
        foreach (var text in _live)
            if (text.Return()) Relabel(text);
    }

    // Whose rows they are, and what of their maps is due.
    private void Begin(StepBatch batch)
    {
        _passes++;
        _runs.Clear();
        for (int row = 0; row < batch.Rows;)
        {
            var blocks = batch.HostBlocks(row);
            int start = batch.HostPositions[row], rows = batch.IsPrefill ? batch.Rows : 1;
            // known tokens of one sequence, one behind the other
            while (row + rows < batch.Rows && batch.HostPositions[row + rows] == start + rows && SameSequence(batch, row, row + rows)) rows++;
            int first = start / KvLayer.BlockTokens, last = (start + rows - 1) / KvLayer.BlockTokens;
            var text = start == 0 ? NewText() : _texts[blocks[0]] ?? Recover(blocks, start);
            for (int i = first; i <= last; i++) _texts[blocks[i]] = text;
            _runs.Add(new Run(text, row, rows, start, _runs.TrueForAll(r => r.Text != text)));
            text.Seen = _passes;
            row += rows;
        }
        foreach (var run in _runs.Where(r => r.Sampled))
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

    private static bool SameSequence(StepBatch batch, int a, int b)
    {
        int blocks = batch.HostPositions[b] / KvLayer.BlockTokens + 1;
        return batch.HostBlocks(a)[..blocks].SequenceEqual(batch.HostBlocks(b)[..blocks]);
    }

    // The text of all rows; null where they are of several.
    private MappedText? Common => _runs.TrueForAll(r => r.Text == _runs[0].Text) ? _runs[0].Text : null;

    private IEnumerable<(int Row, MappedLabels? Labels)> Rows() => _runs.SelectMany(r => Enumerable.Range(r.First, r.Rows).Select(row => (row, r.Text.Labels)));

    private void SetRow(StepBatch batch, int row) => _row.SetDecode([batch.HostPositions[row]], [batch.HostBlocks(row).ToArray()]);

    private MappedText NewText()
    {
        for (int block = 0; block < _texts.Length; block++)
            if (_texts[block] is not null && !_cache.IsHeld(block)) _texts[block] = null;
        foreach (var gone in _live.Where(t => !_texts.Contains(t)).ToArray()) Forget(gone);
        // a text that comes back after that begins anew with the keys that it has
        if (_live.Count >= _mostTexts) Forget(_live.MinBy(t => t.Seen)!);
        var text = new MappedText(new OnlineCalibration(_config, _prior));
        _live.Add(text);
        return text;
    }

    private void Forget(MappedText text)
    {
        text.Free();
        _live.Remove(text);
        for (int block = 0; block < _texts.Length; block++)
            if (_texts[block] == text) _texts[block] = null;
    }

    // The keys of a text that was forgotten are in the cache, its queries are gone.
    private MappedText Recover(ReadOnlySpan<int> blocks, int length)
    {
        var text = NewText();
        int width = _config.KvHeads * _config.HeadDim;
        // all alike: its channels are ranked by how its keys vary
        float[] alike = [.. Enumerable.Repeat(1f, KvLayer.BlockTokens * _config.Heads * _config.HeadDim)];
        for (int start = 0; start < length; start += KvLayer.BlockTokens)
        {
            int block = blocks[start / KvLayer.BlockTokens], rows = Math.Min(KvLayer.BlockTokens, length - start);
            _texts[block] = text;
            for (int layer = 0; layer < _config.Layers; layer++)
            {
                ReadBlock(layer, block);
                text.Calibration.Add(layer, rows, alike.AsSpan(0, rows * _config.Heads * _config.HeadDim), _k.AsSpan(0, rows * width), sampled: false);
            }
        }
        return text;
    }

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
        text.Map(_inner.NewLabels(text.Calibration.Map((layer, head) => Keys(text, layer, head, stride), stride, directions)));
        Relabel(text);
        _maps++;
        _seconds += Stopwatch.GetElapsedTime(begin).TotalSeconds;
    }

    private float[] Keys(MappedText text, int layer, int kvHead, int stride)
    {
        int d = _config.HeadDim, count = (text.Length + stride - 1) / stride;
        var result = new float[count * d];
        lock (_reader)
        {
            for (int i = 0; i < count;)
            {
                int block = i * stride / KvLayer.BlockTokens;
                var keys = _reader.Read(_cache.Layers[layer], text.Blocks[block], kvHead, KvLayer.BlockTokens);
                for (; i < count && i * stride / KvLayer.BlockTokens == block; i++) keys.Slice(i * stride % KvLayer.BlockTokens * d, d).CopyTo(result.AsSpan(i * d));
            }
        }
        return result;
    }

    // Labels of every block of the text by its map; what lies behind the last token is never looked at.
    private void Relabel(MappedText text)
    {
        _inner.Use(text.Labels!);
        int width = _config.KvHeads * _config.HeadDim;
        for (int block = 0; block < _texts.Length; block++)
        {
            if (_texts[block] != text) continue;
            for (int layer = Math.Min(_options.DenseLayers, _config.Layers); layer < _config.Layers; layer++)
            {
                ReadBlock(layer, block);
                ((DeviceSpan)_blockKeys).Upload<float>(_k.AsSpan(0, KvLayer.BlockTokens * width));
                for (int start = 0; start < KvLayer.BlockTokens; start += _blockRows)
                {
                    _block.SetPrefill(start, Math.Min(_blockRows, KvLayer.BlockTokens - start), [block]);
                    _inner.AppendLabels(layer, _block, ((DeviceSpan)_blockKeys).SkipFloats((long)start * width));
                }
            }
        }
    }

    // Keys [token, kvHead, headDim] of a block.
    private void ReadBlock(int layer, int block)
    {
        int d = _config.HeadDim, width = _config.KvHeads * d;
        for (int head = 0; head < _config.KvHeads; head++)
        {
            var keys = _reader.Read(_cache.Layers[layer], block, head, KvLayer.BlockTokens);
            for (int token = 0; token < KvLayer.BlockTokens; token++) keys.Slice(token * d, d).CopyTo(_k.AsSpan(token * width + head * d));
        }
    }

    // Those of a step, and as many that are kept for later ones.
    private static int MostTexts(DecoderOptions decoder) => 2 * decoder.MaxSequences + 2;

    private static int CombinedCapacity(int capacity) => Math.Max(capacity, LeastTokens);

    public override void Dispose()
    {
        foreach (var text in _live) text.Free();
        _live.Clear();
        foreach (var sets in _rowSets) sets.Dispose();
        _combined?.Dispose();
        _blockKeys?.Dispose();
        _block?.Dispose();
        _row?.Dispose();
        _inner.Dispose();
    }

    /// <summary>Rows of a pass that follow one another in one sequence; <paramref name="Sampled"/> where their queries may be kept.</summary>
    private readonly record struct Run(MappedText Text, int First, int Rows, int Start, bool Sampled);
}
