namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>
/// 32 rows by 128 outputs, four warps of 32 by 32: for the steps of some ten to thirty sequences at once, whose time is that of reading the weights. A slice is four parts weights to one part activations, and the slices of two groups
/// that are on their way, 128 KB, are more than memory brings a multiprocessor in the time that it takes to answer.
/// </summary>
internal readonly struct SlimTile : IProductTile
{
    public static int RowFragments => 2;

    public static int OutputFragments => 4;

    public static int RowWarpShift => 0;

    public static int OutputWarpShift => 2;

    public static int Stages => 5;
}
