namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>The keys of a set: entries <see cref="First"/> to <see cref="End"/> of the sequence or of its token list.</summary>
internal struct KeyRange
{
    /// <summary>First entry.</summary>
    public int First;

    /// <summary>Past the last entry.</summary>
    public int End;
}
