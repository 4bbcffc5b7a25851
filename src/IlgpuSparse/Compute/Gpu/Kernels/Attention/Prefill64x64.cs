namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>64 rows by 64 tokens.</summary>
internal readonly struct Prefill64x64 : IPrefillTile
{
    public static int WarpShift => 2;

    public static int TokenShift => 6;
}
