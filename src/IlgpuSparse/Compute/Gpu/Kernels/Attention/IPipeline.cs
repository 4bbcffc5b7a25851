namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>How many copies a group keeps under way: the trade between bytes in flight and groups on a multiprocessor.</summary>
internal interface IPipeline
{
    /// <summary>log2 of the warps a group; every warp has a ring of its own.</summary>
    static abstract int WarpShift { get; }

    /// <summary>Tiles of 16 tokens that a warp's ring holds.</summary>
    static abstract int Stages { get; }
}
