using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>
/// Scores, selection and attention of a sparse decode step in one kernel, all of whose groups are on the device at once: <see cref="ResidentScoreKernel"/>, whose groups then attend to the tokens of their set, each to as many, as soon as
/// those of that set are known. What the groups of a set tell each other goes by way of memory, so that there may be more of them than can be a cluster.
/// </summary>
/// <remarks>
/// Scores and sets are to the last bit those of <see cref="ScoreKernel"/> and <see cref="SetFilterKernel"/>, and the outputs those of <see cref="TensorDecodeKernel"/> up to the order of sums. As with <see cref="ResidentScoreKernel"/>, there must
/// be no more groups than run at once.
/// </remarks>
internal static class ResidentStepKernel
{
    /// <summary>Warps and tiles a ring: what shared memory for scores has room for, twice a multiprocessor.</summary>
    public static DecodeTuning Tuning => new(Warps: ResidentScoreKernel.GroupSize / 32, Stages: 1, Waves: 1, MinSplitTokens: 64);

    // tokens of each group that are asked for before it knows them: half of what its rings hold
    private const int AheadShift = 6;

    // cache blocks that a slice reaches into
    private const int MaxBlocks = SetSlice.MaxTokens / KvLayer.BlockTokens + 1;

    /// <summary>The variant for labels of <paramref name="format"/> (<paramref name="narrow"/>: see <see cref="NarrowProduct{TBits}"/>) and queries in <paramref name="tiles"/>, K and V of <paramref name="element"/>.</summary>
    public static KernelVariant Variant(LabelFormat format, int tiles, bool narrow, Type element, int channels, DecodeTuning tuning) =>
        KernelVariant.Of(typeof(ResidentStepKernel), nameof(Run), 32 * tuning.Warps, ScoreKernel.Product(format, narrow, tiles), KernelCounts.Of(ResidentScoreKernel.Units(format, tiles)), KernelCounts.Of(tiles), element,
            HeadSizes.Of(channels), tuning.Pipeline) with
        {
            CudaOnly = true,
            MinGroups = 2,
            DynamicSharedBytes = ResidentScoreKernel.SharedBytes(format),
        };

    /// <summary>Whether there are variants for queries in <paramref name="tiles"/> and K and V of <paramref name="element"/>. With bfloat16 and most queries they would take more registers than two groups of a multiprocessor have.</summary>
    public static bool Serves(int tiles, Type element) => tiles < FusedStepKernel.Tiles(ResidentScoreKernel.MaxQueries) || element == typeof(TensorF16);

    /// <summary>Every variant.</summary>
    public static IEnumerable<KernelVariant> Variants =>
        from format in ResidentScoreKernel.Formats
        from tiles in new[] { 0, 1, FusedStepKernel.Tiles(ResidentScoreKernel.MaxQueries) }
        from narrow in new[] { false, true }
        where !narrow || ScoreKernel.IsNarrow(format, 1, tiles)
        from element in TensorElements.All
        where Serves(tiles, element)
        from channels in FusedStepKernel.HeadDims
        select Variant(format, tiles, narrow, element, channels, Tuning);

    /// <summary>Grid (groups of a set, sets, rows).</summary>
    /// <param name="labels">The labels.</param>
    /// <param name="score">Queries of the labels; <see cref="ScoreView.Scores"/> is for scores that are asked for.</param>
    /// <param name="select">The rule, and where histograms and sets go.</param>
    /// <param name="cache">K and V.</param>
    /// <param name="keys">Keys of the rows' own tokens, whose labels are still to be written; empty where they are there.</param>
    /// <param name="own">K and V of the same tokens, where they are not in the cache.</param>
    /// <param name="q">Queries <c>[row, head, channel]</c>.</param>
    /// <param name="y">Outputs, as <paramref name="q"/>.</param>
    /// <param name="partials">Outputs of the groups <c>[row, head, group, channel]</c>.</param>
    /// <param name="sums">Their maxima and sums <c>[row, head, group, 2]</c>.</param>
    /// <param name="attention">Sizes of the attention.</param>
    /// <param name="args">Sizes of shared memory.</param>
    public static void Run<TProduct, TUnits, TTiles, TElement, THead, TPipeline>(LabelView labels, ScoreView score, SelectView select, KvView cache, ArrayView<float> keys, OwnRowView own, ArrayView<float> q, ArrayView<float> y, ArrayView<float> partials, ArrayView<float> sums, AttentionArgs attention, ResidentArgs args)
        where TProduct : struct, ILabelProduct
        where TUnits : struct, IKernelCount
        where TTiles : struct, IKernelCount
        where TElement : struct, ITensorElement
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
    {
        var memory = ResidentMemory.Allocate<TProduct, TTiles>(args);
        DependentLaunch.AwaitEarlier();
        var selection = ResidentSelect.Of<TProduct, TUnits, TTiles>(labels, score, select, keys, own, true, memory);
        int row = Grid.IdxZ, set = Grid.IdxY, firstBlock = selection.Slice.Start >> KvLayer.BlockShift;
        // those of the slice, on their way while it is filtered
        int block = cache.Blocks[row * attention.MaxBlocks + Math.Min(firstBlock + Group.IdxX, selection.Range.Last >> KvLayer.BlockShift)];
        selection.Run<TProduct, TTiles>(labels, score, select, args, memory);

        SplitPlace place;
        place.Row = row;
        place.FirstHead = set * score.HeadsPerSet;
        place.Slots = score.HeadsPerSet;
        place.Split = Grid.IdxX;
        place.Splits = Grid.DimX;
        place.Set = (int)selection.Number;
        place.KvHead = place.FirstHead / score.GroupSize;
        var shares = ResidentShares.Of(selection.Budget, selection.Last.Before, Grid.DimX);
        AskAhead<THead>(cache, attention, place.KvHead, selection, shares, memory.Work.Cast<int>(), block, firstBlock);
        int arrivals = 3, first = shares.First(Grid.IdxX), end = shares.End(Grid.IdxX, selection.Budget);
        Arrival.AwaitAll(ref select.Scratch.Arrivals[selection.Number], 2 * Grid.DimX);
        if (selection.Last.Open > SetFilter.MaxOpen)
        {
            // that many equal scores are rare: one group selects for all
            if (Grid.IdxX == 0) selection.Close<TProduct, TTiles>(labels, score, select, memory);
            arrivals = 4;
            Arrival.AwaitAll(ref select.Scratch.Arrivals[selection.Number], 3 * Grid.DimX);
        }
        // all of them, whatever part of them its own are
        else if (end > selection.Last.Before && end > first) selection.Close<TProduct, TTiles>(labels, score, select, memory);
        Group.Barrier();

        cache.Tokens = select.Indices.SubView(selection.Number * select.SetCapacity + first, end - first);
        place.Begin = 0;
        place.End = (end - first + TensorDecodeKernel.TileTokens - 1) >> 4;
        TensorDecodeKernel.Attend<TElement, THead, TPipeline, ListedTokens, LoadedQueries>(memory.Work, cache, default, q, default, attention, ListedTokens.Range(cache, attention, row, set), set, place);
        // not before: that took 1 to 4 % longer with steps one after another
        DependentLaunch.LetNextStart();
        SplitMerge.Group<THead, TPipeline>(memory.Work.Cast<float>(), y, partials, sums, attention, place);
        if (Arrival.IsLast(ref select.Scratch.Arrivals[selection.Number], arrivals * Grid.DimX, ref memory.Words[ResidentMemory.Flag]) && Grid.DimX > 1) SplitMerge.Sum<THead, TPipeline>(memory.Work, y, partials, sums, attention, place);
    }

    // Has the second-level cache bring K and V of those kept tokens of the slice that a group attends to first, as they are known here before that group knows them. `block` is number (first + thread) of the sequence's cache blocks.
    private static void AskAhead<THead>(KvView cache, AttentionArgs attention, int kvHead, ResidentSelect selection, ResidentShares shares, ArrayView<int> kept, int block, int firstBlock)
        where THead : struct, IHeadSize
    {
        int begin = selection.Last.EarlierBefore, end = begin + selection.Kept, room = (int)kept.Length - MaxBlocks;
        if (selection.Kept > 0 && selection.Kept <= room)
        {
            if (Group.IdxX < MaxBlocks) kept[room + Group.IdxX] = block;
            Group.Barrier();
            // about the first group that has one of them
            int group = Math.Max((int)((float)begin * shares.Groups / shares.Tokens) - 1, 0) + (Group.IdxX >> AheadShift), first = shares.First(group);
            while (group < shares.Groups && first < end)
            {
                int own = first + (Group.IdxX & ((1 << AheadShift) - 1)) - begin;
                if ((own | (selection.Kept - 1 - own)) >= 0)
                {
                    int token = kept[own];
                    KvRows.Ask<THead>(cache, ((kept[room + (token >> KvLayer.BlockShift) - firstBlock] * attention.KvHeads + kvHead) << KvLayer.BlockShift) + (token & (KvLayer.BlockTokens - 1)));
                }
                group += Group.DimX >> AheadShift;
                first = shares.First(group);
            }
        }
    }
}
