using IlgpuSparse.Compute.Gpu.Kernels.Products;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>32 rows by 64 outputs, two warps: what an emulator can afford. Public because ILGPU's launcher for the CPU accelerator lies in an assembly of its own.</summary>
public readonly struct TinyTile : IProductTile
{
    public static int RowFragments => 2;

    public static int OutputFragments => 4;

    public static int RowWarpShift => 0;

    public static int OutputWarpShift => 1;

    public static int Stages => 3;
}
