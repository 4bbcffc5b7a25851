namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Reads the rows of an expert and writes them one after the other.</summary>
internal readonly struct GatherRows : IRowMap
{
    public static int Count(RowList list, int rows) => list.Counts[list.Expert];

    public static int Input(RowList list, int i) => list.Rows[(long)list.Expert * list.Stride + i];

    public static int Output(RowList list, int i) => i;

    public static float Weight(RowList list, int i) => 1f;
}
