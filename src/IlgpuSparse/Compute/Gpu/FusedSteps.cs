namespace IlgpuSparse.Compute.Gpu;

/// <summary>When a sparse step is one kernel: see <see cref="Kernels.Fused.GpuFusedStep"/>.</summary>
internal enum FusedSteps
{
    /// <summary>In the form that <see cref="Kernels.Fused.FusedPlan"/> takes to be the fastest.</summary>
    Auto,
    /// <summary>As one kernel of clusters, wherever there is one.</summary>
    On,
    /// <summary>As one kernel whose groups are on the device at once, wherever there is one: see <see cref="Kernels.Fused.GpuResidentStep"/>.</summary>
    Resident,
    /// <summary>Never.</summary>
    Off,
}
