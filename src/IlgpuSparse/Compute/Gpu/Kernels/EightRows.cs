namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>8.</summary>
internal readonly struct EightRows : IRowCount
{
    public static int Value => 8;

    public static int Slots => 8;
}
