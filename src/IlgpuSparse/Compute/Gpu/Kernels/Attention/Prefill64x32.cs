namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>64 rows by 32 tokens.</summary>
internal readonly struct Prefill64x32 : IPrefillTile
{
    public static int WarpShift => 2;

    public static int TokenShift => 5;
}
