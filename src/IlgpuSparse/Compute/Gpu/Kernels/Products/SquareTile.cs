namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>128 rows by 128 outputs, four warps of 64 by 64: two groups a multiprocessor, which hide each other's barriers.</summary>
internal readonly struct SquareTile : IProductTile
{
    public static int RowFragments => 4;

    public static int OutputFragments => 8;

    public static int RowWarpShift => 1;

    public static int OutputWarpShift => 1;

    public static int Stages => 3;
}
