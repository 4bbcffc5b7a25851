namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>A 16-bit element type that tensor cores multiply.</summary>
internal interface ITensorElement
{
    /// <summary>Whether its range is smaller than that of single precision, so that rows are scaled before they are rounded.</summary>
    static abstract bool NeedsScale { get; }

    /// <summary>C += A·B for A [16, 16] and B [16, 8], in the layouts of <c>mma.m16n8k16</c>.</summary>
    static abstract F4 Multiply(U4 a, U2 b, F4 c);

    /// <summary>See <see cref="Products.WarpgroupOps.MultiplyHalf"/>.</summary>
    static abstract void MultiplySlice(ref U4 memory, int x, int w);

    /// <summary>Two numbers rounded, the first in the low half.</summary>
    static abstract uint Pack(float low, float high);

    /// <summary>The low number of a pair.</summary>
    static abstract float Low(uint pair);

    /// <summary>The high number of a pair.</summary>
    static abstract float High(uint pair);
}
