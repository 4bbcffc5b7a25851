namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Channels a head, as a constant of the compiled kernel.</summary>
internal interface IHeadSize
{
    /// <summary>d, a multiple of 16.</summary>
    static abstract int Channels { get; }
}
