namespace IlgpuSparse.Compute.Cpu;

/// <summary>A few tokens' rows of K or of V, anywhere in the cache, and the rows that will be needed next.</summary>
internal unsafe struct KvTile
{
    /// <summary>Most tokens of a tile: K and V of one stay in the first-level cache, and their logits fill whole vectors.</summary>
    public const int Tokens = 32;

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
}
