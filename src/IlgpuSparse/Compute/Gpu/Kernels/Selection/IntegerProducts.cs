namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Sums of a lane's four tokens: with the upper two bytes of its query, and with the lowest.</summary>
internal struct IntegerProducts
{
    /// <summary>Tokens 4g and 4g + 1.</summary>
    public I4 Low;

    /// <summary>Tokens 4g + 2 and 4g + 3.</summary>
    public I4 High;

    /// <summary>As <see cref="Low"/>, with the lowest byte.</summary>
    public I4 LowRest;

    /// <summary>As <see cref="High"/>, with the lowest byte.</summary>
    public I4 HighRest;
}
