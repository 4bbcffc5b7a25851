namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Reads consecutive rows and writes them to the rows of an expert, times the router's weight.</summary>
internal readonly struct ScatterRows : IRowMap
{
    public static int Count(RowList list, int rows) => list.Counts[list.Expert];

    public static int Input(RowList list, int i) => i;

    public static int Output(RowList list, int i) => list.Rows[(long)list.Expert * list.Stride + i];

    public static float Weight(RowList list, int i) => list.Weights[(long)list.Expert * list.Stride + i];
}
