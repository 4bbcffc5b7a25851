using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Benchmarks;

/// <summary>
/// The cache of one long sequence on the CPU, with random contents, and the operations on it. It has as many layers as make more than any processor's cache holds, and each operation takes
/// the next one: so every step finds its layer in memory, as it does in a model.
/// </summary>
internal sealed unsafe class AttentionWorkload : IDisposable
{
    /// <summary>Bytes of K and V of all layers at least.</summary>
    public const long StreamedBytes = 1L << 30;

    private const int LabelChannels = 64;

    private readonly CpuBackend _backend;
    private readonly AttentionShape _shape;
    private readonly KvLayer[] _layers;
    private readonly LabelLayer[] _labels;
    private readonly SelectionRule _rule;
    private readonly StepBatch _decode;
    private readonly StepBatch _prefill;
    private readonly TokenScores _scores;
    private readonly TokenSets _sets;
    private readonly TokenSets _chosen;
    private readonly DeviceBuffer _q;
    private readonly DeviceBuffer _k;
    private readonly DeviceBuffer _y;
    private readonly int _rowBytes;
    // where rows of K and V of the shuffled tokens, and blocks of labels, lie in a layer
    private readonly long[][] _rows, _blocks;
    private int _next;

    /// <param name="shape">Heads and their size.</param>
    /// <param name="format">Element type of K and V.</param>
    /// <param name="tokens">Length of the sequence.</param>
    /// <param name="chunk">Rows of <see cref="Prefill"/>, the last of the sequence.</param>
    /// <param name="density">One of so many tokens is selected.</param>
    /// <param name="threads">Workers; 0 for one a core.</param>
    public AttentionWorkload(AttentionShape shape, KvFormat format, int tokens, int chunk = 1, int density = 16, int threads = 0)
    {
        _backend = new CpuBackend(threads);
        _shape = shape;
        _rule = new SelectionRule(1, density, 1);
        int blocks = (tokens + KvLayer.BlockTokens - 1) / KvLayer.BlockTokens, rowFloats = shape.Heads * shape.HeadDim;
        DenseBytes = 2L * tokens * shape.KvHeads * shape.HeadDim * format.ElementBytes();
        LabelBytes = (long)tokens * shape.KvHeads * LabelLayer.WordsFor(LabelFormat.Int2, LabelChannels) * sizeof(uint);
        SelectedBytes = 2L * _rule.Budget(tokens) * shape.KvHeads * shape.HeadDim * format.ElementBytes();
        double pairs = chunk * (tokens - (chunk - 1) / 2.0);
        PrefillFlops = 4.0 * pairs * shape.Heads * shape.HeadDim;

        var random = new Random(1);
        // prefill multiplies: there one layer does
        int layers = chunk > 1 ? 1 : (int)((StreamedBytes + DenseBytes - 1) / DenseBytes);
        _layers = new KvLayer[layers];
        _labels = new LabelLayer[layers];
        for (int layer = 0; layer < layers; layer++)
        {
            long bytes = (long)blocks * KvLayer.BlockTokens * shape.KvHeads * shape.HeadDim * format.ElementBytes();
            _layers[layer] = new KvLayer(format, _backend.Allocate(bytes, "kv"), _backend.Allocate(bytes, "kv"));
            FillNumbers(_layers[layer].K, format, random);
            FillNumbers(_layers[layer].V, format, random);
            _labels[layer] = RandomLabels(blocks, random);
        }
        int[] table = [.. Enumerable.Range(0, blocks)];
        _decode = new StepBatch(_backend, 1, 1, blocks);
        _decode.SetDecode([tokens - 1], [table]);
        _prefill = new StepBatch(_backend, chunk, 1, blocks);
        _prefill.SetPrefill(tokens - chunk, chunk, table);
        _q = _backend.Allocate((long)chunk * rowFloats * sizeof(float), "q");
        _k = _backend.Allocate((long)shape.KvHeads * shape.HeadDim * sizeof(float), "k");
        _y = _backend.Allocate((long)chunk * rowFloats * sizeof(float), "y");
        FillNumbers(_q, KvFormat.F32, random);
        FillNumbers(_k, KvFormat.F32, random);
        int capacity = blocks * KvLayer.BlockTokens;
        _scores = new TokenScores(_backend.Allocate((long)shape.KvHeads * capacity * sizeof(float), "scores"), shape.KvHeads, capacity);
        _chosen = Sets(_rule.Budget(tokens));
        _sets = Sets(_rule.Budget(tokens));
        _rowBytes = shape.HeadDim * format.ElementBytes();
        _rows = [.. _layers.Select(_ => new long[2 * shape.KvHeads * _sets.Capacity])];
        _blocks = [.. _labels.Select(l => BlocksOf(CpuBuffer.Pointer<byte>(l.Codes), tokens / KvLayer.BlockTokens))];
        ShuffleTokens(tokens, random);
    }

    /// <summary>The threads, for yardsticks.</summary>
    public WorkerPool Pool => _backend.Pool;

    /// <summary>Bytes of K and V that a dense step reads.</summary>
    public long DenseBytes { get; }

    /// <summary>Bytes of labels that scoring reads.</summary>
    public long LabelBytes { get; }

    /// <summary>Bytes of K and V that a step over the selected tokens reads.</summary>
    public long SelectedBytes { get; }

    /// <summary>Multiplications and additions of visible query-token pairs in <see cref="Prefill"/>.</summary>
    public double PrefillFlops { get; }

    /// <summary>Reads the whole cache of the next layer and does nothing with it.</summary>
    public void Read()
    {
        var cache = _layers[Next()];
        ReadBandwidth.Run(Pool, CpuBuffer.Pointer<byte>(cache.K), cache.K.ByteLength);
        ReadBandwidth.Run(Pool, CpuBuffer.Pointer<byte>(cache.V), cache.V.ByteLength);
    }

    /// <summary>Reads K and V of tokens that lie anywhere, a token after the other as attention does, and does nothing with them.</summary>
    public void ReadSelected() => PieceReading.Run(Pool, _rows[Next()], _shape.KvHeads, _rowBytes, ahead: 32);

    /// <summary>Reads all labels, a head after the other as scoring does, and does nothing with them.</summary>
    public void ReadLabels() => PieceReading.Run(Pool, _blocks[Next()], _shape.KvHeads, KvLayer.BlockTokens * LabelLayer.WordsFor(LabelFormat.Int2, LabelChannels) * sizeof(uint), ahead: 1);

    /// <summary>One token attends to all.</summary>
    public void Dense() => _backend.Attend(_shape, _layers[Next()], _decode, _q, _y);

    /// <summary>One token attends to tokens that lie anywhere.</summary>
    public void Selected() => _backend.AttendSelected(_shape, _layers[Next()], _decode, _q, _sets, _y);

    /// <summary>All labels are scored.</summary>
    public void Score() => _backend.Score(_shape, _labels[Next()], _decode, _q, GroupReduction.Sum, _scores);

    /// <summary>The best of the last scores are chosen.</summary>
    public void Select() => _backend.Select(_shape, _rule, _decode, _scores, _chosen);

    /// <summary>The whole sparse step: label, scores, selection, attention to the selected tokens.</summary>
    public void SparseStep()
    {
        int layer = Next();
        _backend.AppendLabels(_shape, _labels[layer], _decode, _k);
        _backend.AttendByLabels(_shape, _layers[layer], _decode, _q, new(_shape, _labels[layer], _q, GroupReduction.Sum, _rule, _scores, _chosen), _y);
    }

    /// <summary>The last chunk attends to everything before and itself.</summary>
    public void Prefill() => _backend.Attend(_shape, _layers[0], _prefill, _q, _y);

    private int Next() => _next = (_next + 1) % _layers.Length;

    private LabelLayer RandomLabels(int blocks, Random random)
    {
        int perHead = _shape.KvHeads * LabelChannels;
        var labels = new LabelLayer
        {
            Format = LabelFormat.Int2,
            Scaling = LabelScaling.Static,
            Channels = Math.Min(LabelChannels, _shape.HeadDim),
            ChannelIndices = _backend.Allocate(perHead * sizeof(int), "labels"),
            Offsets = _backend.Allocate(perHead * sizeof(float), "labels"),
            Steps = _backend.Allocate(perHead * sizeof(float), "labels"),
            Codes = _backend.Allocate((long)blocks * KvLayer.BlockTokens * _shape.KvHeads * LabelLayer.WordsFor(LabelFormat.Int2, LabelChannels) * sizeof(uint), "labels"),
        };
        int[] channels = [.. Enumerable.Range(0, _shape.HeadDim)], indices = new int[perHead];
        for (int head = 0; head < _shape.KvHeads; head++)
        {
            random.Shuffle(channels);
            channels.AsSpan(0, labels.Channels).CopyTo(indices.AsSpan(head * labels.Channels));
        }
        ((DeviceSpan)labels.ChannelIndices).Upload<int>(indices);
        ((DeviceSpan)labels.Offsets).Upload<float>(new float[perHead]);
        ((DeviceSpan)labels.Steps).Upload<float>(Enumerable.Repeat(0.5f, perHead).ToArray());
        var bytes = new byte[1 << 20];
        for (long at = 0; at < labels.Codes.ByteLength; at += bytes.Length)
        {
            random.NextBytes(bytes);
            labels.Codes.Upload(bytes.AsSpan(0, (int)Math.Min(bytes.Length, labels.Codes.ByteLength - at)), at);
        }
        return labels;
    }

    private TokenSets Sets(int capacity) => new(_backend.Allocate((long)_shape.KvHeads * capacity * sizeof(int), "sets"), _backend.Allocate(_shape.KvHeads * sizeof(int), "sets"), _shape.KvHeads, capacity);

    private void ShuffleTokens(int tokens, Random random)
    {
        int[] all = [.. Enumerable.Range(0, tokens)];
        for (int head = 0; head < _shape.KvHeads; head++)
        {
            random.Shuffle(all);
            int[] chosen = [.. all.Take(_sets.Capacity).Order()];
            new DeviceSpan(_sets.Indices, (long)head * _sets.Capacity * sizeof(int)).Upload<int>(chosen);
            for (int i = 0; i < chosen.Length; i++) Locate(head, chosen[i], 2 * (head * chosen.Length + i));
        }
        ((DeviceSpan)_sets.Counts).Upload<int>(Enumerable.Repeat(_sets.Capacity, _shape.KvHeads).ToArray());
    }

    // In every layer; blocks follow one another.
    private void Locate(int head, int token, int place)
    {
        long row = ((((long)(token >> KvLayer.BlockShift) * _shape.KvHeads + head) << KvLayer.BlockShift) + (token & (KvLayer.BlockTokens - 1))) * _rowBytes;
        for (int layer = 0; layer < _layers.Length; layer++)
            (_rows[layer][place], _rows[layer][place + 1]) = ((long)(CpuBuffer.Pointer<byte>(_layers[layer].K) + row), (long)(CpuBuffer.Pointer<byte>(_layers[layer].V) + row));
    }

    private long[] BlocksOf(byte* codes, int blocks)
    {
        long bytes = (long)KvLayer.BlockTokens * LabelLayer.WordsFor(LabelFormat.Int2, LabelChannels) * sizeof(uint);
        return [.. Enumerable.Range(0, _shape.KvHeads).SelectMany(head => Enumerable.Range(0, blocks).Select(block => (long)codes + ((long)block * _shape.KvHeads + head) * bytes))];
    }

    private static void FillNumbers(DeviceBuffer buffer, KvFormat format, Random random)
    {
        var pattern = new byte[1 << 16];
        for (int i = 0; i < pattern.Length; i += format.ElementBytes())
        {
            float value = (float)(random.NextDouble() - 0.5) * 4;
            var target = pattern.AsSpan(i);
            switch (format)
            {
                case KvFormat.F16: BitConverter.TryWriteBytes(target, (Half)value); break;
                case KvFormat.BF16: BitConverter.TryWriteBytes(target, (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)); break;
                default: BitConverter.TryWriteBytes(target, value); break;
            }
        }
        for (long at = 0; at < buffer.ByteLength; at += pattern.Length)
            buffer.Upload(pattern.AsSpan(0, (int)Math.Min(pattern.Length, buffer.ByteLength - at)), at);
    }

    public void Dispose()
    {
        _decode.Dispose();
        _prefill.Dispose();
        _sets.Dispose();
        _chosen.Dispose();
        _scores.Dispose();
        foreach (var layer in _layers)
        {
            layer.K.Dispose();
            layer.V.Dispose();
        }
        foreach (var labels in _labels) labels.Dispose();
        _q.Dispose();
        _k.Dispose();
        _y.Dispose();
        _backend.Dispose();
    }
}
