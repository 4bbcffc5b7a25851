namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>128 rows by 256 outputs, eight warps of 64 by 64: one group fills a multiprocessor's registers.</summary>
internal readonly struct WideTile : IProductTile
{
    public static int RowFragments => 4;

    public static int OutputFragments => 8;

    public static int RowWarpShift => 1;

    public static int OutputWarpShift => 2;

    public static int Stages => 4;
}
