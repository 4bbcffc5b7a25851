namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>Which rows <see cref="CopyRowsKernel"/> copies.</summary>
internal struct CopyRowsArgs
{
    /// <summary>Key and value heads.</summary>
    public int KvHeads;

    /// <summary>16-byte units of a row of K, and of V.</summary>
    public int Units;

    /// <summary>Width of the block tables.</summary>
    public int MaxBlocks;

    /// <summary>1 for the position of each table row; 0 for consecutive positions of one.</summary>
    public int PerRow;

    /// <summary>First position of consecutive ones.</summary>
    public int First;

    /// <summary>Table row of consecutive positions.</summary>
    public int TableRow;

    /// <summary>1 where rows have scales.</summary>
    public int Scaled;

    /// <summary>Clock to advance; negative for none.</summary>
    public int Clock;
}
