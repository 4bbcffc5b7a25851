namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Whether fp32 operands of tensor cores are rounded to 16 bits alone, or the rest that rounding leaves is multiplied too.</summary>
internal interface IOperandRest
{
    /// <summary>Whether there is a second product with the rest.</summary>
    static abstract bool Kept { get; }
}
