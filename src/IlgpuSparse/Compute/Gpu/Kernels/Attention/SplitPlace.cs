namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>What a group works on.</summary>
internal struct SplitPlace
{
    /// <summary>Activation row.</summary>
    public int Row;

    /// <summary>First query head of the set.</summary>
    public int FirstHead;

    /// <summary>Query heads of the set.</summary>
    public int Slots;

    /// <summary>Which split.</summary>
    public int Split;

    /// <summary>Splits of the set.</summary>
    public int Splits;

    /// <summary>Which arrival counter.</summary>
    public int Set;
}
