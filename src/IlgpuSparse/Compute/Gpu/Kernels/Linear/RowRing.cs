namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Rings in which the weights of a product of one row lie between memory and multiplication: each warp of a group has its own, of as many stages as is said to be its depth.</summary>
internal static class RowRing
{
    /// <summary>Most warps a group, and how many it has on CUDA: two of whose registers a multiprocessor has enough for.</summary>
    public const int MaxWarps = 8;
}
