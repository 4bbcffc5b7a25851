namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The queries that a group of threads scores with.</summary>
internal struct QuerySet
{
    /// <summary>Activation row.</summary>
    public int Row;

    /// <summary>First query head.</summary>
    public int FirstHead;

    /// <summary>Where the kv head's channels begin in the tables.</summary>
    public int Channels;

    /// <summary>Queries: the heads of the set, or one sum of them.</summary>
    public int Count;

    /// <summary>Tiles of four queries.</summary>
    public int Tiles;

    /// <summary>The query in place <paramref name="slot"/> of the tiles.</summary>
    public readonly int Query(int slot) => slot < Count ? slot : 0;
}
