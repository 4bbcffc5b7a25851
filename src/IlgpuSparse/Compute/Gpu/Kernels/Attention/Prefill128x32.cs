namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>128 rows by 32 tokens.</summary>
internal readonly struct Prefill128x32 : IPrefillTile
{
    public static int WarpShift => 3;

    public static int TokenShift => 5;
}
