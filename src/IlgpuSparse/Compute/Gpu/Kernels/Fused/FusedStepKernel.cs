using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>
/// Scores, selection and attention of a sparse decode step in one kernel: a thread-block cluster for each set. Each group scores a slice of the tokens into its shared memory, the groups add up their histograms and send each
/// other the selected tokens, each attends to as many of them, and their results are merged: what the kernels one after another tell each other by way of memory goes from shared memory to shared memory.
/// </summary>
/// <remarks>Scores and sets are to the last bit those of <see cref="ScoreKernel"/> and <see cref="SetFilterKernel"/>, and the outputs those of <see cref="TensorDecodeKernel"/> up to the order of sums.</remarks>
internal static class FusedStepKernel
{
    /// <summary>Most query heads a set: those that share one tile of attention.</summary>
    public const int MaxHeads = TensorDecodeKernel.MaxSlots;

    /// <summary>Words that a lane loads of a token's label: up to 128 bits a token.</summary>
    public const int LaneWords = 1;

    /// <summary>Most dynamic shared memory of a group, in bytes: what static memory leaves.</summary>
    public const int MaxSharedBytes = TensorDecodeKernel.HopperSharedBytes - 11 * 1024;

    /// <summary>Warps and tiles a ring: as many as leave room for a second group, without which not all clusters of four find a place (the multiprocessors that can be one are no multiple of four).</summary>
    public static DecodeTuning Tuning => new(Warps: 8, Stages: 1, Waves: 1, MinSplitTokens: 64);

    /// <summary>The formats of labels.</summary>
    public static IReadOnlyList<LabelFormat> Formats { get; } = [LabelFormat.Int8, LabelFormat.Int4, LabelFormat.Int2, LabelFormat.Int1];

    /// <summary>Most groups of a cluster.</summary>
    public const int MaxGroups = 16;

    /// <summary>Groups of a cluster that there are variants for, the smallest first.</summary>
    public static IReadOnlyList<int> Groups { get; } = [1, 2, 4, 6, 8, 16];

    /// <summary>The head sizes that there are variants for.</summary>
    public static IReadOnlyList<int> HeadDims { get; } = [128];

    /// <summary>The variant for labels of <paramref name="format"/> (<paramref name="narrow"/>: see <see cref="NarrowProduct{TBits}"/>), sets of <paramref name="queries"/>, K and V of <paramref name="element"/> and clusters of <paramref name="groups"/>.</summary>
    public static KernelVariant Variant(LabelFormat format, int queries, bool narrow, Type element, int channels, int groups) => Variant(format, queries, narrow, element, channels, groups, Tuning.Pipeline, 32 * Tuning.Warps);

    /// <summary>As the one before, with another pipeline.</summary>
    public static KernelVariant Variant(LabelFormat format, int queries, bool narrow, Type element, int channels, int groups, Type pipeline, int threads) =>
        KernelVariant.Of(typeof(FusedStepKernel), nameof(Run), threads, ScoreKernel.Product(format, narrow, Tiles(queries)), KernelCounts.Of(Units(format, queries, narrow)), KernelCounts.Of(Tiles(queries)), element,
            HeadSizes.Of(channels), pipeline, KernelCounts.Of(groups)) with
        {
            CudaOnly = true,
            ClusterSize = groups,
            MinGroups = 2,
            DynamicSharedBytes = MaxSharedBytes,
        };

    /// <summary>Units that a warp scores at once, for sets of <paramref name="queries"/>: as many tokens of labels two beside each other as of others, so that slices are dealt out as evenly.</summary>
    public static int Units(LabelFormat format, int queries, bool narrow) => ScoreKernel.Units(format, ScoreKernel.WithBins, LaneWords, Tiles(queries)) >> (narrow ? 1 : 0);

    /// <summary>Tiles as a constant of the kernel, for sets of <paramref name="queries"/>: see <see cref="ScoreKernel.Tiles"/>.</summary>
    public static int Tiles(int queries) => Math.Min(ScoreKernel.Tiles(queries), MaxHeads / ScoreKernel.TileHeads);

    /// <summary>Every variant.</summary>
    public static IEnumerable<KernelVariant> Variants =>
        from format in Formats
        from queries in new[] { 1, ScoreKernel.TileHeads, MaxHeads }
        from element in TensorElements.All
        from channels in HeadDims
        from groups in Groups
        from narrow in new[] { false, true }
        where !narrow || ScoreKernel.IsNarrow(format, 1, Tiles(queries))
        select Variant(format, queries, narrow, element, channels, groups);

    /// <summary>Grid (groups of a cluster, sets, rows).</summary>
    /// <param name="labels">The labels.</param>
    /// <param name="score">Queries of the labels.</param>
    /// <param name="select">The rule, and where the sets go.</param>
    /// <param name="cache">K and V.</param>
    /// <param name="keys">Keys of the rows' own tokens, whose labels are still to be written; empty where they are there.</param>
    /// <param name="own">K and V of the same tokens, where they are not in the cache.</param>
    /// <param name="q">Queries <c>[row, head, channel]</c>.</param>
    /// <param name="y">Outputs, as <paramref name="q"/>.</param>
    /// <param name="attention">Sizes of the attention.</param>
    /// <param name="args">Sizes of shared memory.</param>
    public static void Run<TProduct, TUnits, TTiles, TElement, THead, TPipeline, TCluster>(LabelView labels, ScoreView score, SelectView select, KvView cache, ArrayView<float> keys, OwnRowView own, ArrayView<float> q, ArrayView<float> y, AttentionArgs attention, FusedArgs args)
        where TProduct : struct, ILabelProduct
        where TUnits : struct, IKernelCount
        where TTiles : struct, IKernelCount
        where TElement : struct, ITensorElement
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
        where TCluster : struct, IKernelCount
    {
        var memory = SharedMemory.GetDynamic<U4>();
        var counts = memory.SubView(0, FusedLayout.Counts).Cast<uint>();
        var open = memory.SubView(FusedLayout.Counts, FusedLayout.Barriers - FusedLayout.Counts).Cast<ulong>();
        var barriers = memory.SubView(FusedLayout.Barriers, FusedLayout.Outputs - FusedLayout.Barriers).Cast<ulong>();
        var outputs = memory.SubView(FusedLayout.Outputs, FusedLayout.Bins(THead.Channels) - FusedLayout.Outputs).Cast<float>();
        var sent = memory.SubView(FusedLayout.Bins(THead.Channels), TCluster.Value * ClusterBins.Units).Cast<uint>();
        int behind = FusedLayout.List(THead.Channels, TCluster.Value);
        var list = memory.SubView(behind, args.ListRoom >> 2).Cast<int>();
        var work = memory.SubView(behind + (args.ListRoom >> 2), args.WorkUnits);
        var fragments = SharedMemory.Allocate<U2>(SliceScores.Fragments<TProduct, KernelCounts.N1>(TTiles.Slots));
        var columns = SharedMemory.Allocate<float>(3 * TTiles.Slots * ScoreKernel.TileHeads);
        var totals = SharedMemory.Allocate<uint>(GroupScan.MaxWarps);
        var known = SharedMemory.Allocate<int>(2);
        var prepared = SharedMemory.Allocate<U4>(PreparedQueries.Units(THead.Channels));

        int row = Grid.IdxZ, set = Grid.IdxY, unit = LabelProduct.Tokens<TProduct, TUnits>();
        // Kernels before this one in a graph may still run. None of them writes what is read here: positions advance at the end of a step, which is the end of its graph, and tables, factors and channels are the host's.
        var range = VisibleRange.Of(select, row);
        long number = (long)row * Grid.DimY + set;
        // What follows is kept there, or found out again from what is there, and not in registers while the scores are made.
        if (Group.IdxX == 0)
        {
            if (TCluster.Value > 1)
            {
                for (int i = 0; i < FusedLayout.BarrierCount; i++) BulkCopy.Make(ref barriers[i]);
                ClusterBins.Expect<TCluster>(barriers.SubView(FusedLayout.BinBarrier, 2));
            }
            known[0] = range.Budget(select, number);
            known[1] = range.Last;
        }
        ThreadCluster.Begin<TCluster>(ref counts[0]);
        var slice = SetSlice.Of(range, unit, TCluster.Value);
        var queries = QuerySet.Of(labels, score, row, set);
        // as far as the loop that scores them does not ask for them itself
        LabelWords.Ahead(labels, row * labels.MaxBlocks, queries.KvHead, slice.Start, Math.Min(slice.Start + LabelWords.StepsAhead * unit * (Group.DimX >> 5), slice.End));
        AskForQueries<THead>(q, attention, score, queries);
        DependentLaunch.AwaitEarlier();
        // Not before: the steps behind the next one would start as well, and take each other's places.
        DependentLaunch.LetNextStart();
        // Beside those who prepare the queries. Scores of this token may be of a label that is half there: it is in the set without.
        if (keys.Length != 0 && Grid.IdxX == 0 && Group.IdxX >> 5 == (Group.DimX >> 5) - 1 && queries.FirstHead == queries.KvHead * score.GroupSize) TProduct.WriteOwn(labels, queries, keys, score.HeadDim);
        // Likewise, by another group. The cluster attends to the row when all of its groups have been sent this one's counts, before which it is in memory, and copies it from the second-level cache (cp.async.cg), past what a first-level
        // cache may hold. No cluster relies on another: where several have sets of the kv head each writes the row.
        if (own.AreMissing && Grid.IdxX == TCluster.Value - 1 && Group.IdxX >> 5 == (Group.DimX >> 5) - 2)
        {
            own.Write(row, queries.KvHead, range.Last);
            ThreadCluster.Publish<TCluster>();
        }
        // by yet another warp, for all of the group
        if (Group.IdxX >> 5 == (Group.DimX >> 5) - 3) PreparedQueries.Prepare<TElement, THead>(q, prepared, attention, row, queries.FirstHead, score.HeadsPerSet);
        var scores = work.Cast<float>();
        float inverse = SliceScores.Of<TProduct, KernelCounts.N1, TUnits, TTiles, KernelCounts.N16>(labels, score, queries, range, range.First, slice.Start, slice.End, scores, -(long)slice.Start, counts, fragments, columns).Inverse;
        Group.Barrier();

        range = VisibleRange.At(select, known[1]);
        slice = SetSlice.Of(range, unit, TCluster.Value);
        SplitPlace place;
        place.Row = row;
        place.FirstHead = queries.FirstHead;
        place.Slots = score.HeadsPerSet;
        place.Split = Grid.IdxX;
        place.Splits = TCluster.Value;
        place.Set = (int)number;
        place.KvHead = queries.KvHead;
        int budget = known[0];
        ClusterSelect selection;
        selection.Number = number;
        selection.Budget = budget;
        selection.Slice = slice.Length;
        selection.Start = slice.Start;
        selection.End = slice.End;
        selection.Inverse = inverse;
        selection.KvHead = queries.KvHead;
        selection.Ahead = TPipeline.Stages * TensorDecodeKernel.TileTokens << TPipeline.WarpShift;
        selection.Own.List = list;
        selection.Own.Before = 0;
        selection.Own.First = ClusterShares.First<TCluster>(Grid.IdxX, budget);
        selection.Own.Count = ClusterShares.First<TCluster>(Grid.IdxX + 1, budget) - selection.Own.First;
        var masks = work.SubView(slice.Length >> 2, args.WorkUnits - (slice.Length >> 2)).Cast<uint>();
        selection.Run<TCluster, THead>(select, range, cache, attention, counts, sent, open, barriers, scores, masks, totals, args.KeepsScores);

        place.Begin = 0;
        place.End = (selection.Own.Count + TensorDecodeKernel.TileTokens - 1) >> 4;
        cache.Tokens = list.SubView(0, selection.Own.Count);
        TensorDecodeKernel.Attend<TElement, THead, TPipeline, ListedTokens, PreparedQueries>(work, cache, default, q, prepared, attention, ListedTokens.Range(cache, attention, row, set), set, place);
        ClusterMerge.Run<THead, TPipeline, TCluster>(work.Cast<float>(), outputs, ref barriers[FusedLayout.OutputBarrier], y, attention, place);
        Tell<TCluster>(select, list, known[0]);
    }

    // The group's part of the set to memory, for others than this kernel. Last: before, all would wait for it whenever they wait for each other.
    private static void Tell<TCluster>(SelectView select, ArrayView<int> list, int budget)
        where TCluster : struct, IKernelCount
    {
        int first = ClusterShares.First<TCluster>(Grid.IdxX, budget), count = ClusterShares.First<TCluster>(Grid.IdxX + 1, budget) - first;
        long number = (long)Grid.IdxZ * Grid.DimY + Grid.IdxY;
        for (int i = Group.IdxX; i < count; i += Group.DimX) select.Indices[number * select.SetCapacity + first + i] = list[i];
        if ((Grid.IdxX | Group.IdxX) == 0) select.Counts[number] = budget;
    }

    private static void AskForQueries<THead>(ArrayView<float> q, AttentionArgs attention, ScoreView score, QuerySet queries)
        where THead : struct, IHeadSize
    {
        const int line = 32; // numbers
        int own = Group.IdxX * line;
        if (own < score.HeadsPerSet * THead.Channels) Loads.Ahead(ref q.Cast<uint>()[(long)(queries.Row * attention.Heads + queries.FirstHead) * THead.Channels + own]);
    }
}
