namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>What a group of <see cref="TensorPrefillKernel"/> works on at a time.</summary>
internal interface IPrefillTile
{
    /// <summary>log2 of the warps a group; each has 16 rows.</summary>
    static abstract int WarpShift { get; }

    /// <summary>log2 of the tokens of K and V, 5 to 8.</summary>
    static abstract int TokenShift { get; }
}
