namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Which activation rows a product reads and writes.</summary>
internal interface IRowMap
{
    /// <summary>Rows of the product; <paramref name="rows"/> is what the host knows.</summary>
    static abstract int Count(RowList list, int rows);

    /// <summary>Row of x that row <paramref name="i"/> of the product reads.</summary>
    static abstract int Input(RowList list, int i);

    /// <summary>Row of y that row <paramref name="i"/> of the product writes.</summary>
    static abstract int Output(RowList list, int i);

    /// <summary>Factor of row <paramref name="i"/>.</summary>
    static abstract float Weight(RowList list, int i);
}
