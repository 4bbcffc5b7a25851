namespace IlgpuSparse.Compute.Cpu;

/// <summary>A few tokens' rows of K or of V, anywhere in the cache, and the rows that will be needed next.</summary>
internal unsafe struct KvTile
{
    /// <summary>Most tokens of a tile; their logits fill whole vectors. Rows that lie anywhere are fetched so many ahead: enough to hide memory.</summary>
    public const int Tokens = 32;

    // Of rows that follow one another the processor fetches the next ones itself, and so little between K and V keeps it at it.
    private const int RunBytes = 4096;

    /// <summary>The cache buffer.</summary>
    public byte* Base;

    /// <summary>Byte offset of each row; filled up to a multiple of four with repeats of the last.</summary>
    public long* Offsets;

    /// <summary>Tokens.</summary>
    public int Count;

    /// <summary>Bytes a row.</summary>
    public int RowBytes;

    /// <summary>The buffer of the rows to prefetch.</summary>
    public byte* NextBase;

    /// <summary>Byte offset of each row to prefetch.</summary>
    public long* NextOffsets;

    /// <summary>Rows to prefetch; filled up as <see cref="Count"/> is.</summary>
    public int NextCount;

    /// <summary>Tokens a tile of rows of <paramref name="rowBytes"/>, a multiple of 16.</summary>
    public static int TokensFor(int rowBytes, bool scattered) => scattered ? Tokens : Math.Clamp(RunBytes / rowBytes & ~15, 16, Tokens);
}
