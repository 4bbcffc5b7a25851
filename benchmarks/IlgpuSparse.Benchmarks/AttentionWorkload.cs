using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Benchmarks;

/// <summary>One layer's cache of one long sequence on the CPU, with random contents, and the operations on it.</summary>
internal sealed unsafe class AttentionWorkload : IDisposable
{
    private readonly CpuBackend _backend;
    private readonly AttentionShape _shape;
    private readonly KvLayer _cache;
    private readonly StepBatch _decode;
    private readonly StepBatch _prefill;
    private readonly TokenSets _sets;
    private readonly DeviceBuffer _q;
    private readonly DeviceBuffer _y;

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
        int blocks = (tokens + KvLayer.BlockTokens - 1) / KvLayer.BlockTokens;
        long bytes = (long)blocks * KvLayer.BlockTokens * shape.KvHeads * shape.HeadDim * format.ElementBytes();
        _cache = new KvLayer(format, _backend.Allocate(bytes, "kv"), _backend.Allocate(bytes, "kv"));
        var random = new Random(1);
        Fill(_cache.K, format, random);
        Fill(_cache.V, format, random);
        int[] table = [.. Enumerable.Range(0, blocks)];
        _decode = new StepBatch(_backend, 1, 1, blocks);
        _decode.SetDecode([tokens - 1], [table]);
        _prefill = new StepBatch(_backend, chunk, 1, blocks);
        _prefill.SetPrefill(tokens - chunk, chunk, table);
        int rowFloats = shape.Heads * shape.HeadDim;
        _q = _backend.Allocate((long)chunk * rowFloats * sizeof(float), "q");
        _y = _backend.Allocate((long)chunk * rowFloats * sizeof(float), "y");
        Fill(_q, KvFormat.F32, random);
        int selected = tokens / density;
        _sets = new TokenSets(_backend.Allocate((long)shape.KvHeads * selected * sizeof(int), "sets"), _backend.Allocate(shape.KvHeads * sizeof(int), "sets"), shape.KvHeads, selected);
        int[] all = [.. Enumerable.Range(0, tokens)];
        for (int head = 0; head < shape.KvHeads; head++)
        {
            random.Shuffle(all);
            new DeviceSpan(_sets.Indices, (long)head * selected * sizeof(int)).Upload<int>(all.Take(selected).Order().ToArray());
        }
        ((DeviceSpan)_sets.Counts).Upload<int>(Enumerable.Repeat(selected, shape.KvHeads).ToArray());
        DenseBytes = 2L * tokens * shape.KvHeads * shape.HeadDim * format.ElementBytes();
        SelectedBytes = 2L * selected * shape.KvHeads * shape.HeadDim * format.ElementBytes();
        double pairs = chunk * (tokens - (chunk - 1) / 2.0);
        PrefillFlops = 4.0 * pairs * shape.Heads * shape.HeadDim;
    }

    /// <summary>The threads, for yardsticks.</summary>
    public WorkerPool Pool => _backend.Pool;

    /// <summary>Bytes of K and V that a dense step reads.</summary>
    public long DenseBytes { get; }

    /// <summary>Bytes of K and V that a step over the selected tokens reads.</summary>
    public long SelectedBytes { get; }

    /// <summary>Multiplications and additions of visible query-token pairs in <see cref="Prefill"/>.</summary>
    public double PrefillFlops { get; }

    /// <summary>Reads the whole cache and does nothing with it.</summary>
    public void Read()
    {
        ReadBandwidth.Run(Pool, CpuBuffer.Pointer<byte>(_cache.K), _cache.K.ByteLength);
        ReadBandwidth.Run(Pool, CpuBuffer.Pointer<byte>(_cache.V), _cache.V.ByteLength);
    }

    /// <summary>One token attends to all.</summary>
    public void Dense() => _backend.Attend(_shape, _cache, _decode, _q, _y);

    /// <summary>One token attends to the selected ones.</summary>
    public void Selected() => _backend.AttendSelected(_shape, _cache, _decode, _q, _sets, _y);

    /// <summary>The last chunk attends to everything before and itself.</summary>
    public void Prefill() => _backend.Attend(_shape, _cache, _prefill, _q, _y);

    private static void Fill(DeviceBuffer buffer, KvFormat format, Random random)
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
        _cache.K.Dispose();
        _cache.V.Dispose();
        _q.Dispose();
        _y.Dispose();
        _backend.Dispose();
    }
}
