namespace IlgpuSparse.Compute.Gpu;

/// <summary>Groups of a <see cref="ThreadCluster"/> as a constant of a kernel.</summary>
internal interface IClusterSize
{
    /// <summary>log2 of them.</summary>
    static abstract int Shift { get; }

    /// <summary>Trips of unrolled loops over the ranks: at least two, see <see cref="Kernels.Selection.IKernelCount.Slots"/>.</summary>
    static abstract int Slots { get; }
}
