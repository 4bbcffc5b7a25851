namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>What an epilogue needs for two slots and is there, or follows from what is there, before the step's kernels begin: it is brought and worked out before the products are known (<see cref="ILinearEpilogue.Ahead"/>).</summary>
internal struct EpilogueTerms
{
    /// <summary>The rotation of a pair of channels.</summary>
    public float Cos, Sin;

    /// <summary>Which channels the two are, among those of all heads of their matrix.</summary>
    public int First, Second;

    /// <summary>The block of K and V that they belong to, and where in it.</summary>
    public int Block, InBlockFirst, InBlockSecond;
}
