namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Sums of a lane's four tokens: with the upper two bytes of what its query is made of, and with the lower two.</summary>
internal struct IntegerProducts
{
    /// <summary>Tokens 4g and 4g + 1.</summary>
    public I4 Low;

    /// <summary>Tokens 4g + 2 and 4g + 3.</summary>
    public I4 High;

    /// <summary>As <see cref="Low"/>, with the lower two bytes.</summary>
    public I4 LowRest;

    /// <summary>As <see cref="High"/>, with the lower two bytes.</summary>
    public I4 HighRest;
}
