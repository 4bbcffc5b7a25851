namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>8 warps of a tile each.</summary>
internal readonly struct Pipeline8x1 : IPipeline
{
    public static int WarpShift => 3;

    public static int Stages => 1;
}
