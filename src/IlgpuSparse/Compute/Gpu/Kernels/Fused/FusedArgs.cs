namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>Sizes of a launch of <see cref="FusedStepKernel"/>.</summary>
internal struct FusedArgs
{
    /// <summary>Room for tokens that a group attends to, see <see cref="ClusterShares.Room"/>.</summary>
    public int ListRoom;

    /// <summary>Units of 16 bytes behind the list.</summary>
    public int WorkUnits;

    /// <summary>1 to leave the scores in memory, too.</summary>
    public int KeepsScores;
}
