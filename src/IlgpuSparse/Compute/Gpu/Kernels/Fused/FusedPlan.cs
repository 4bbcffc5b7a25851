using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>Sizes of a step that may be one <see cref="FusedStepKernel"/>, and the rule by which it is: the only place that decides.</summary>
/// <param name="Clusters">Sets of all rows, a cluster each.</param>
/// <param name="Span">Tokens of the longest row that are scored.</param>
/// <param name="Most">Most tokens of a set, for which there has to be room.</param>
/// <param name="Budget">Tokens of a set by the rule, before sets have budgets of their own.</param>
/// <param name="Narrow">Whether two labels are scored beside each other, see <see cref="NarrowProduct{TBits}"/>.</param>
/// <param name="KvBytes">Bytes of a token's K and V of a kv head.</param>
/// <param name="Resident">Whether there would be a <see cref="ResidentStepKernel"/> otherwise, and not kernels one after another.</param>
internal readonly record struct FusedPlan(int Clusters, int Span, int Most, int Budget, bool Narrow, int KvBytes, bool Resident)
{
    // As measured on an H100 with K and V of 16 bits. Microseconds of a step that has nothing to read, what each group of a cluster adds, what each pair, as all wait for all, what it costs where groups share multiprocessors, and that
    // clusters follow others: more where all groups of large ones have to find room at once.
    private const float Latency = 6.7f, GroupLatency = 0.215f, PairLatency = 0.012f, SharedLatency = 0.3f, WaveLatency = 2f, UnevenWaveLatency = 7f;

    // Bytes a microsecond: of a group with a multiprocessor of its own, and of one where some share.
    private const float AloneRate = 25_000f, SharedRate = 16_500f;

    // Of all together: of groups with a multiprocessor each; of two on each, one of which reads while the other waits; and of those at the end where clusters are so large that they do not find room evenly.
    private const float AloneRates = 2_550_000f, SharedRates = 2_750_000f, UnevenRates = 2_400_000f;

    // The largest clusters of which multiprocessors get as many as others.
    private const int EvenGroups = 2;

    // The same of what reads with sixteen warps a multiprocessor and waits by way of memory: of the one kernel whose groups are all on the device (13 µs by itself; in a decode step it begins when queries are made, and clusters before), and of kernels one after another.
    private const float ResidentLatency = 17f, ResidentRate = 2_630_000f, ApartLatency = 19.5f, ApartRate = 2_300_000f;

    private float Apart => Resident ? ResidentLatency + Clusters * SetBytes / ResidentRate : ApartLatency + Clusters * SetBytes / ApartRate;

    // Labels that are shorter than there is room for in a product are read in less time and scored in the same, which is what counts: 8 sets of 256K tokens of 64 and of 128 bits take 52 and 53 µs in clusters of eight, 37 both without.
    private int ScoreBytes => Narrow ? 8 : 16;

    private float SetBytes => (float)Span * ScoreBytes + (float)Budget * KvBytes;

    /// <summary>Tokens of a set's slice with clusters of <paramref name="groups"/>.</summary>
    public int Slice(int groups, int unit) => SetSlice.Tokens(Span, groups, unit);

    /// <summary>The launch's sizes of shared memory.</summary>
    public FusedArgs Args(int groups, int unit, int headDim, DecodeTuning tuning) => new()
    {
        ListRoom = ClusterShares.Room(Most, groups),
        WorkUnits = Math.Max(TensorDecodeKernel.SharedBytes(headDim, tuning.Warps, tuning.Stages) / 16, FusedLayout.ScoreUnits(Slice(groups, unit), tuning.Warps)),
    };

    /// <summary>Dynamic shared memory of a group in bytes.</summary>
    public static int SharedBytes(FusedArgs args, int headDim, int groups) => 16 * (FusedLayout.List(headDim, groups) + args.ListRoom / 4 + args.WorkUnits);

    /// <summary>
    /// Groups of a cluster, one of <paramref name="sizes"/> in ascending order, or 0 for kernels one after another. <paramref name="active"/> says for a size how many clusters with this plan's memory the device runs at once, none where there
    /// is no such kernel; <paramref name="room"/>, which takes no time, numbers that are not less. Taken is what is done soonest, the smaller of two that are done at the same time; with <see cref="FusedSteps.Auto"/> only if that is before kernels one after another are.
    /// </summary>
    public int Groups(FusedSteps steps, IReadOnlyList<int> sizes, Func<int, ClusterRoom> room, Func<int, ClusterRoom> active)
    {
        if (steps == FusedSteps.Off) return 0;
        var plan = this;
        int chosen = 0;
        float soonest = steps == FusedSteps.Auto ? Apart : float.PositiveInfinity;
        foreach (var (groups, hoped) in sizes.Select(groups => (Groups: groups, Done: plan.Done(groups, room(groups)))).OrderBy(size => size.Done))
        {
            if (hoped >= soonest) break;
            float done = Done(groups, active(groups));
            if (done < soonest || (done == soonest && groups < chosen)) (chosen, soonest) = (groups, done);
        }
        return chosen;
    }

    // When all are, in microseconds. Clusters that do not run at once follow others: where two groups have a multiprocessor, what one waits for is the other's time to read, and where one has it, nobody's. What follows last is not done
    // before its own groups have read what is theirs.
    private float Done(int groups, ClusterRoom room)
    {
        if (room.AtOnce == 0) return float.PositiveInfinity;
        int earlier = (Clusters - 1) / room.AtOnce, last = Clusters - earlier * room.AtOnce;
        bool shared = room.AtOnce > room.Alone && Clusters > room.Alone, even = groups <= EvenGroups;
        float rates = shared ? SharedRates : AloneRates;
        float latency = Latency + (GroupLatency + PairLatency * groups) * groups + (shared ? SharedLatency : 0f);
        float before = earlier * (room.AtOnce * SetBytes / rates + (even ? WaveLatency : UnevenWaveLatency) + (shared ? 0f : latency));
        return before + latency + Math.Max(SetBytes / groups / (shared && last > room.Alone ? SharedRate : AloneRate), last * SetBytes / (shared && !even ? UnevenRates : rates));
    }
}
