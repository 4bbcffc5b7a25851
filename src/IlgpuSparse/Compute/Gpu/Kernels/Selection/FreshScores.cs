using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Scores in memory, of other groups.</summary>
internal readonly struct FreshScores : IFilterScores
{
    public static bool AreFar => true;

    public static F4 Four(ArrayView<F4> scores, long quad) => Loads.Fresh(ref scores[quad]);
}
