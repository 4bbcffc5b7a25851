namespace IlgpuSparse.Compute.Gpu;

/// <summary>When a sparse step is one kernel: see <see cref="Kernels.Fused.GpuFusedStep"/>.</summary>
internal enum FusedSteps
{
    /// <summary>Where <see cref="Kernels.Fused.FusedPlan"/> takes it to be faster.</summary>
    Auto,
    /// <summary>Wherever there is such a kernel.</summary>
    On,
    /// <summary>Never.</summary>
    Off,
}
