using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>Sizes of a step that may be one <see cref="FusedStepKernel"/>, and the rule by which it is: the only place that decides.</summary>
/// <param name="Clusters">Sets of all rows, a cluster each.</param>
/// <param name="Span">Tokens of the longest row that are scored.</param>
/// <param name="Budget">Most tokens of a set.</param>
/// <param name="LabelBytes">Bytes of a token's label.</param>
/// <param name="KvBytes">Bytes of a token's K and V of a kv head.</param>
internal readonly record struct FusedPlan(int Clusters, int Span, int Budget, int LabelBytes, int KvBytes)
{
    /// <summary>Longest context, in tokens, that <see cref="FusedSteps.Auto"/> fuses: 0, none, until it has been measured (docs/kernels.md has what is expected, and of which contexts).</summary>
    public static int AutoTokens => 0;

    /// <summary>What is worth a further group, in bytes: about a microsecond and a half of a multiprocessor's share of 3 TB/s.</summary>
    private const int GroupBytes = 32 << 10;

    /// <summary>Tokens of a set's slice with clusters of <paramref name="groups"/>.</summary>
    public int Slice(int groups, int unit) => FusedLayout.Slice(Span, Shift(groups), unit);

    /// <summary>The launch's sizes of shared memory.</summary>
    public FusedArgs Args(int groups, int unit, int headDim, DecodeTuning tuning) => new()
    {
        ListRoom = FusedLayout.ListRoom(Budget, Shift(groups)),
        WorkUnits = Math.Max(TensorDecodeKernel.SharedBytes(headDim, tuning.Warps, tuning.Stages) / 16, FusedLayout.ScoreUnits(Slice(groups, unit), tuning.Warps)),
    };

    /// <summary>Dynamic shared memory of a group in bytes.</summary>
    public static int SharedBytes(FusedArgs args) => 16 * (FusedLayout.List + args.ListRoom / 4 + args.WorkUnits);

    /// <summary>
    /// Groups of a cluster, one of <paramref name="sizes"/> in ascending order, or 0 for kernels one after another. <paramref name="active"/> says for a size how many clusters with this plan's memory the device runs at once, 0 where there
    /// is no such kernel: all sets have to, because a cluster that waits for another doubles the time. With <see cref="FusedSteps.On"/> they need not, if they cannot.
    /// </summary>
    public int Groups(FusedSteps steps, IReadOnlyList<int> sizes, Func<int, int> active)
    {
        if (steps == FusedSteps.Off || (steps == FusedSteps.Auto && Span > AutoTokens)) return 0;
        // as few groups as have little enough to read, or as many as there is room for
        long bytes = (long)Span * LabelBytes + (long)Budget * KvBytes;
        int wanted = 0, clusters = Clusters;
        while (wanted < sizes.Count - 1 && bytes / sizes[wanted] > GroupBytes) wanted++;
        int chosen = sizes.Take(wanted + 1).LastOrDefault(groups => active(groups) >= clusters);
        return chosen == 0 && steps == FusedSteps.On ? sizes.FirstOrDefault(groups => active(groups) > 0) : chosen;
    }

    private static int Shift(int groups) => System.Numerics.BitOperations.Log2((uint)groups);
}
