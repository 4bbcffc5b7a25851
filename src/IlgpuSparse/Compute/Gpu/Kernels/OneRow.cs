namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>1.</summary>
internal readonly struct OneRow : IRowCount
{
    public static int Value => 1;

    public static int Slots => 2;
}
