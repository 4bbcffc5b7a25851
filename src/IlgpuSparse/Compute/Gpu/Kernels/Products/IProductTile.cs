namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>What a group of <see cref="TensorProductKernel"/> or <see cref="WarpgroupProductKernel"/> computes, as constants of the compiled kernel. A warp has 16 rows by 8 outputs of each pair of its fragments.</summary>
internal interface IProductTile
{
    /// <summary>Fragments of 16 activation rows a warp: 2 or more, of warpgroups 1.</summary>
    static abstract int RowFragments { get; }

    /// <summary>Fragments of 8 outputs a warp: 4 or 8, of warpgroups <see cref="WarpgroupOps.Fragments"/>.</summary>
    static abstract int OutputFragments { get; }

    /// <summary>log2 of the warps along the activation rows.</summary>
    static abstract int RowWarpShift { get; }

    /// <summary>log2 of the warps along the outputs; two warps at least in all.</summary>
    static abstract int OutputWarpShift { get; }

    /// <summary>Slices of 64 inputs in shared memory, 3 or more.</summary>
    static abstract int Stages { get; }
}
