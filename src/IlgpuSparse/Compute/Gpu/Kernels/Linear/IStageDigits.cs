namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Where a warp of <see cref="RowDigitKernel"/> has the digits from that it multiplies a stage by.</summary>
internal interface IStageDigits
{
    /// <summary>Whether they stay in registers: each of its stages is over the same columns.</summary>
    static abstract bool AreHeld { get; }
}
