namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Which tokens a set attends to.</summary>
internal interface ITokenSource
{
    /// <summary>Whether entries are positions themselves, so that 16 aligned ones lie together in a cache block.</summary>
    static abstract bool Contiguous { get; }

    /// <summary>Activation rows that a group works on.</summary>
    static abstract int RowsPerGroup { get; }

    /// <summary>The entries of set <paramref name="set"/> of the group's rows from <paramref name="row"/>.</summary>
    static abstract KeyRange Range(KvView cache, AttentionArgs args, int row, int set);

    /// <summary>The position of an entry.</summary>
    static abstract int Position(KvView cache, AttentionArgs args, int row, int set, int entry);

    /// <summary>Whether <paramref name="row"/> sees an entry of its group's range.</summary>
    static abstract bool Sees(KvView cache, AttentionArgs args, int row, int entry);
}
