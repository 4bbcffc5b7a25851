namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Sizes of a launch of <see cref="ResidentScoreKernel"/> or <see cref="Fused.ResidentStepKernel"/>.</summary>
internal struct ResidentArgs
{
    /// <summary>Units of 16 bytes of shared memory for codes of scores, and afterwards for open tokens.</summary>
    public int WorkUnits;

    /// <summary>1 to leave the scores in memory, too.</summary>
    public int KeepsScores;
}
