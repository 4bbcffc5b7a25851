namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>The next pieces that a warp asks for.</summary>
internal struct RowCursor
{
    /// <summary>Pair of rows: eight a tile.</summary>
    public int Pair;

    /// <summary>First of the next steps of 32 pieces.</summary>
    public int Step;

    /// <summary>Pieces of the rows; 0 past the last pair.</summary>
    public int Pieces;

    /// <summary>Device addresses of the two rows.</summary>
    public long Upper, Lower;
}
