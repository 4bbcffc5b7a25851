namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Activation rows that a group multiplies with a weight row at once, as a constant of the kernel.</summary>
internal interface IRowCount
{
    /// <summary>Rows.</summary>
    static abstract int Value { get; }

    /// <summary>Trips of the kernel's loops over rows: at least two, because a loop of one trip is not unrolled and its arrays would lie in local memory.</summary>
    static abstract int Slots { get; }
}
