namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>2.</summary>
internal readonly struct TwoRows : IRowCount
{
    public static int Value => 2;

    public static int Slots => 2;
}
