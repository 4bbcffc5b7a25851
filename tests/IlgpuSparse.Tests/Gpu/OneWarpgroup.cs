using IlgpuSparse.Compute.Gpu.Kernels.Products;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>64 rows by 256 outputs, a single warpgroup: the most threads that an emulator has. Public as <see cref="TinyTile"/> is.</summary>
public readonly struct OneWarpgroup : IProductTile
{
    public static int RowFragments => 1;

    public static int OutputFragments => 32;

    public static int RowWarpShift => 2;

    public static int OutputWarpShift => 0;

    public static int Stages => 3;
}
