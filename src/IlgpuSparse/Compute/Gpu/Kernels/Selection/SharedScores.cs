using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Scores in the group's own shared memory.</summary>
internal readonly struct SharedScores : IFilterScores
{
    public static bool AreFar => false;

    public static F4 Four(ArrayView<F4> scores, long quad) => scores[quad];
}
