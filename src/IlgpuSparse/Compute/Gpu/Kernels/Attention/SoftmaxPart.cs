namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>One output number of a part of the tokens.</summary>
internal struct SoftmaxPart
{
    /// <summary>Largest logit of the part, in powers of two.</summary>
    public float Max;

    /// <summary>Sum of the weights 2^(logit - <see cref="Max"/>).</summary>
    public float Sum;

    /// <summary>Sum of weights times values.</summary>
    public float Output;
}
