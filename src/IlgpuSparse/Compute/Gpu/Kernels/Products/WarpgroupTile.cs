namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>128 rows by 256 outputs, two warpgroups of 64 by 256: for <see cref="WarpgroupProductKernel"/>. One group fills a multiprocessor's registers and shared memory.</summary>
internal readonly struct WarpgroupTile : IProductTile
{
    public static int RowFragments => 1;

    public static int OutputFragments => WarpgroupOps.Fragments;

    public static int RowWarpShift => 3;

    public static int OutputWarpShift => 0;

    public static int Stages => 4;
}
