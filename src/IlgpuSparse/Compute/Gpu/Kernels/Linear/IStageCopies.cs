namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Who copies the weights of a <see cref="RowDigitKernel"/> to its rings.</summary>
internal interface IStageCopies
{
    /// <summary>Whether the copy engine does, by maps, and not the lanes.</summary>
    static abstract bool ByMaps { get; }
}
