namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>The next stage that a warp asks for.</summary>
internal struct StageCursor
{
    /// <summary>Tile; past the last one there is nothing to ask for.</summary>
    public int Tile;

    /// <summary>Stage of the rows.</summary>
    public int Stage;

    /// <summary>Where the row of slot lane mod 16 begins, in units of two bytes.</summary>
    public int Start;

    /// <summary>Address of the matrix of slots 0 to 7, and what to add for the others.</summary>
    public long Address, AddressStep;

    /// <summary>Last 16-byte unit of that matrix, and what to add for the others.</summary>
    public int Last, LastStep;
}
