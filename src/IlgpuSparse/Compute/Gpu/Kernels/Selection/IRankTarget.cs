namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Where <see cref="OpenRank"/> puts tokens by their rank.</summary>
internal interface IRankTarget
{
    /// <summary>Takes <paramref name="entry"/>, whose lower half is an inverted token, and which <paramref name="rank"/> open ones are before.</summary>
    void Put(int rank, ulong entry);
}
