namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>64 rows by 64 outputs, four warps of 32 by 32: for products too small to fill the device otherwise.</summary>
internal readonly struct SmallTile : IProductTile
{
    public static int RowFragments => 2;

    public static int OutputFragments => 4;

    public static int RowWarpShift => 1;

    public static int OutputWarpShift => 1;

    public static int Stages => 3;
}
