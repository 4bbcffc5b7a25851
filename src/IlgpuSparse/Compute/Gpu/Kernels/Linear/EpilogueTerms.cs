namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>What an epilogue needs of memory for two slots and has there before the step's kernels begin, so that it can be brought before the products are known (<see cref="ILinearEpilogue.Ahead"/>).</summary>
internal struct EpilogueTerms
{
    /// <summary>The rotation of a pair of channels.</summary>
    public float Cos, Sin;

    /// <summary>Position of the row, and the block of K and V that it lies in.</summary>
    public int Position, Block;
}
