namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Where the weights of a product of one row lie between memory and multiplication.</summary>
/// <param name="Warps">Warps a group, each with a ring of its own.</param>
/// <param name="Depth">Stages of a ring.</param>
internal readonly record struct RowRing(int Warps, int Depth)
{
    /// <summary>Most warps a group.</summary>
    public const int MaxWarps = 16;
}
