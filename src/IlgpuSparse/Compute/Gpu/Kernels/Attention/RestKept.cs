namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Two products: about the accuracy of fp32.</summary>
internal readonly struct RestKept : IOperandRest
{
    public static bool Kept => true;
}
