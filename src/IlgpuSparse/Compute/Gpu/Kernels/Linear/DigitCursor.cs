namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>A stage of eight weight rows: of those that a warp takes, the one that it multiplies or asks for next.</summary>
internal struct DigitCursor
{
    /// <summary>Eight rows of the group's.</summary>
    public int Eight;

    /// <summary>Stage of the rows.</summary>
    public int Stage;
}
