namespace IlgpuSparse.Compute.Gpu.Offload;

/// <summary>
/// Room for the rows that the token lists of a step name, in their order: a cache of one layer in which list entry i of a kv head's first list is token i. The kernels of selected attention read it through lists that say just that.
/// </summary>
internal sealed class FetchedRows : IDisposable
{
    private readonly DeviceBuffer _table, _indices;

    /// <summary>Allocates for the lists of <paramref name="sets"/> of up to <paramref name="rows"/> rows.</summary>
    public FetchedRows(ComputeBackend backend, KvFormat format, int kvHeads, int headDim, int rows, int sets, int capacity)
    {
        (Rows, Sets, Capacity, SetsPerKvHead) = (rows, sets, capacity, sets / kvHeads);
        Blocks = BlocksFor(SetsPerKvHead, capacity);
        long tokens = (long)rows * Blocks * KvLayer.BlockTokens * kvHeads;
        bool scaled = format == KvFormat.Int8;
        var owned = new List<DeviceBuffer>();
        DeviceBuffer Allocate(long bytes)
        {
            var buffer = backend.Allocate(bytes, "kv");
            owned.Add(buffer);
            return buffer;
        }
        try
        {
            DeviceBuffer k = Allocate(tokens * headDim * format.ElementBytes()), v = Allocate(tokens * headDim * format.ElementBytes());
            DeviceBuffer? kScales = scaled ? Allocate(tokens * sizeof(float)) : null, vScales = scaled ? Allocate(tokens * sizeof(float)) : null;
            _table = Allocate((long)rows * Blocks * sizeof(int));
            _indices = Allocate((long)rows * sets * capacity * sizeof(int));
            ((DeviceSpan)_table).Upload<int>([.. Enumerable.Range(0, rows * Blocks)]);
            var indices = new int[rows * sets * capacity];
            for (int i = 0; i < indices.Length; i++) indices[i] = i / capacity % SetsPerKvHead * capacity + i % capacity;
            ((DeviceSpan)_indices).Upload<int>(indices);
            Layer = new KvLayer(format, k, v, kScales, vScales) { Table = new KvBlockTable(_table, Blocks) };
        }
        catch
        {
            foreach (var buffer in owned) buffer.Dispose();
            throw;
        }
    }

    /// <summary>Rows of a step, at most.</summary>
    public int Rows { get; }

    /// <summary>Lists a row.</summary>
    public int Sets { get; }

    /// <summary>Room a list.</summary>
    public int Capacity { get; }

    /// <summary>Lists a kv head.</summary>
    public int SetsPerKvHead { get; }

    /// <summary>Blocks a row.</summary>
    public int Blocks { get; }

    /// <summary>The rows.</summary>
    public KvLayer Layer { get; }

    /// <summary>Device bytes for the lists of <paramref name="rows"/> rows.</summary>
    public static long PlannedBytes(KvFormat format, int kvHeads, int headDim, int rows, int sets, int capacity)
    {
        long blocks = (long)rows * BlocksFor(sets / kvHeads, capacity);
        return blocks * KvLayer.BlockTokens * kvHeads * 2 * (headDim * format.ElementBytes() + (format == KvFormat.Int8 ? sizeof(float) : 0)) + blocks * sizeof(int) + (long)rows * sets * capacity * sizeof(int);
    }

    /// <summary>Whether the lists of <paramref name="sets"/> of <paramref name="rows"/> rows have room.</summary>
    public bool Serves(TokenSets sets, int rows) => Sets == sets.Sets && Capacity == sets.Capacity && rows <= Rows;

    /// <summary><paramref name="sets"/> in terms of <see cref="Layer"/>.</summary>
    public TokenSets Lists(TokenSets sets) => sets with { Indices = _indices };

    private static int BlocksFor(int setsPerKvHead, int capacity) => checked(setsPerKvHead * capacity + KvLayer.BlockTokens - 1) / KvLayer.BlockTokens;

    public void Dispose()
    {
        Layer.K.Dispose();
        Layer.V.Dispose();
        Layer.KScales?.Dispose();
        Layer.VScales?.Dispose();
        _table.Dispose();
        _indices.Dispose();
    }
}
