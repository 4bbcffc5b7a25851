namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Row i to row i.</summary>
internal readonly struct AllRows : IRowMap
{
    public static int Count(RowList list, int rows) => rows;

    public static int Input(RowList list, int i) => i;

    public static int Output(RowList list, int i) => i;

    public static float Weight(RowList list, int i) => 1f;
}
