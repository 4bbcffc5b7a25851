namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>8 warps of 2 tiles each.</summary>
internal readonly struct Pipeline8x2 : IPipeline
{
    public static int WarpShift => 3;

    public static int Stages => 2;
}
