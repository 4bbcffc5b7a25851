namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>Which missing rows <see cref="DropKernel"/> drops.</summary>
internal struct DropArgs
{
    /// <summary>Tokens a set of the scores.</summary>
    public int ScoreCapacity;

    /// <summary><see cref="TokenMass.Scale"/> of the selection.</summary>
    public float MassScale;

    /// <summary>What a missing row's mass has to be of the average of its list to be fetched, in units of 2^-16.</summary>
    public uint Least;

    /// <summary>First tokens that are never dropped.</summary>
    public int Sinks;

    /// <summary>1 where the lists' shares of the mass are kept.</summary>
    public int HasShares;
}
