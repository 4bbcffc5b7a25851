namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>A small number as a constant of a kernel.</summary>
internal interface IKernelCount
{
    /// <summary>The number.</summary>
    static abstract int Value { get; }

    /// <summary>Trips of loops over it: at least two, because a loop of one trip is not unrolled and its arrays would lie in local memory.</summary>
    static abstract int Slots { get; }
}
