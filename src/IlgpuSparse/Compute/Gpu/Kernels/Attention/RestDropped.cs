namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>One product: the accuracy of 16 bits.</summary>
internal readonly struct RestDropped : IOperandRest
{
    public static bool Kept => false;
}
