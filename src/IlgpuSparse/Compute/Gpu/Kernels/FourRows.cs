namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>4.</summary>
internal readonly struct FourRows : IRowCount
{
    public static int Value => 4;

    public static int Slots => 4;
}
