namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>The next stage of two weight rows that a warp asks for.</summary>
internal struct StreamCursor
{
    /// <summary>Stages that are left to ask for.</summary>
    public int Left;

    /// <summary>Pair of rows: eight a tile.</summary>
    public int Pair;

    /// <summary>Stage of the rows.</summary>
    public int Stage;

    /// <summary>Device address of the upper row, and from it to the lower one.</summary>
    public long Upper, Lower;
}
