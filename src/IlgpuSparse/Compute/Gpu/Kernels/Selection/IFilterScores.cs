using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Where a <see cref="SetFilter"/> finds scores.</summary>
internal interface IFilterScores
{
    /// <summary>Whether they are so far that they are asked for well ahead.</summary>
    static abstract bool AreFar { get; }

    /// <summary>Number <paramref name="quad"/> of groups of four.</summary>
    static abstract F4 Four(ArrayView<F4> scores, long quad);
}
