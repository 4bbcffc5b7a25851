namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Which tokens of a row a search of <see cref="SampleKernel"/> counts, how, and in which order.</summary>
internal struct SampleFilter
{
    /// <summary>Least probability relative to the most likely token's.</summary>
    public float Floor;

    /// <summary>Largest logit.</summary>
    public float Largest;

    /// <summary>Rank of the last token that is in (see <see cref="SampleKernel.Rank"/>); those of the same rank are in up to <see cref="CutId"/>.</summary>
    public uint CutRank;

    /// <summary>Last id of <see cref="CutRank"/> that is in.</summary>
    public int CutId;

    /// <summary>1 to count tokens, 0 to add their probabilities.</summary>
    public int Counting;

    /// <summary>1 to order by id, 0 by rank.</summary>
    public int ById;

    /// <summary>1 to take the tokens of rank <see cref="Rank"/> alone.</summary>
    public int OneRank;

    /// <summary>See <see cref="OneRank"/>.</summary>
    public uint Rank;
}
