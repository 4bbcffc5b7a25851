namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>4 warps of 4 tiles each.</summary>
internal readonly struct Pipeline4x4 : IPipeline
{
    public static int WarpShift => 2;

    public static int Stages => 4;
}
