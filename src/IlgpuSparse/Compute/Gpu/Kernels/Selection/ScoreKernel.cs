using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Label products by tensor cores, some units of 32 or 64 tokens a warp at a time: one pass over the labels for all query heads of a set. The same kernel can go on to the selection: with the first histogram
/// for long contexts, or, where a set fits one <see cref="KeyTile"/>, with all of it in the set's last group.
/// </summary>
/// <remarks>
/// <see cref="ILabelProduct"/> says how labels meet queries. Labels are read once, 16 bytes a lane and word, and asked for one step ahead; the multiprocessor has far more to issue a byte than
/// it has in dense attention, so what is done for a token is kept to a few dozen instructions a lane for four tokens.
/// </remarks>
internal static class ScoreKernel
{
    /// <summary>Values of <c>TMode</c>: scores alone.</summary>
    public const int ScoresOnly = 0;

    /// <summary>Scores, and their histogram in <see cref="SelectScratch.Bins"/>.</summary>
    public const int WithBins = 1;

    /// <summary>Scores and sets.</summary>
    public const int WithSelection = 2;

    /// <summary>Scores, their first histogram in <see cref="SelectScratch.Histogram"/> and their maximum in <see cref="SelectScratch.Maxima"/>: for a selection by mass.</summary>
    public const int WithMaximum = 4;

    /// <summary>Scores and sets by mass.</summary>
    public const int WithMassSelection = 8;

    /// <summary>Scores and their histogram in shared memory, for a kernel that goes on with them: labels are asked for well ahead, because there are few warps to do it.</summary>
    public const int InCluster = 16;

    /// <summary>Codes of scores (<see cref="ScoreBins.Code"/>) and their histogram in shared memory: <see cref="ResidentScoreKernel"/>.</summary>
    public const int Resident = 32;

    /// <summary>Tokens of a unit, of which a warp scores a few at once; of narrow labels it has two times as many (<see cref="TokensOf"/>).</summary>
    public const int UnitTokens = 32;

    /// <summary>Most query heads a set.</summary>
    public const int MaxHeads = 32;

    /// <summary>Queries a tile.</summary>
    public const int TileHeads = 4;

    /// <summary>Most channels.</summary>
    public const int MaxChannels = 128;

    // open tokens that are ranked here
    private const int MaxOpen = 1024;

    /// <summary>Whether the kernel leaves finished sets.</summary>
    public static bool Selects(int mode) => mode is WithSelection or WithMassSelection;

    /// <summary>Whether the kernel writes labels, K and V of the rows' own tokens where they are missing: where these are in a set whatever their scores, as they are in none by mass.</summary>
    public static bool Appends(int mode) => mode is WithBins or WithSelection;

    public static int GroupSize(int mode) => Selects(mode) ? SetFilterKernel.GroupSize : 256;

    /// <summary>Words a lane loads of a token: a quarter of all, rounded up to what there are variants for.</summary>
    public static int LaneWords(LabelFormat format, int channels)
    {
        int words = (LabelLayer.WordsFor(format, channels) + 3) / 4, rounded = format == LabelFormat.F16 ? 2 : 1;
        while (rounded < words) rounded *= 2;
        return rounded;
    }

    /// <summary>Units a warp has under way: enough for 64 bytes a lane, or less where the words of labels, or the scores of several tiles of queries (<paramref name="tiles"/>) beside those before them, take too many registers.</summary>
    public static int Units(LabelFormat format, int mode, int laneWords, int tiles)
    {
        int units = (format == LabelFormat.Int1 ? 2 : 4) / laneWords;
        return Selects(mode) ? 1 : Math.Max(1, tiles > 1 && format != LabelFormat.F16 ? units / 2 : units);
    }

    /// <summary>
    /// Tokens a group of threads: whole steps of <paramref name="step"/> tokens, as few as make one wave of groups over the multiprocessors, so that preparing the queries and writing
    /// the histogram are paid once a wave.
    /// </summary>
    public static int ChunkTokens(int mode, int step, long tokens, int multiprocessors)
    {
        // as many as there are at once: two groups of 256 threads with up to 128 registers each
        long groups = (long)multiprocessors * (Selects(mode) ? 1 : 2);
        long steps = (tokens + groups * step - 1) / (groups * step);
        return (int)Math.Clamp(steps, 1, 64) * step;
    }

    /// <summary>Whether a lane's labels leave a group's threads registers for the selection; else it is a kernel of its own.</summary>
    public static bool HasSelection(LabelFormat format, int laneWords) => laneWords <= format switch { LabelFormat.F16 => 4, LabelFormat.Int8 => 2, _ => 1 };

    public static KernelVariant Variant(LabelFormat format, int laneWords, int units, int tiles, int mode, bool narrow = false) => KernelVariant.Of(typeof(ScoreKernel), nameof(Run), GroupSize(mode),
        Product(format, narrow, tiles), KernelCounts.Of(laneWords), KernelCounts.Of(units), KernelCounts.Of(tiles), KernelCounts.Of(mode)) with
    {
        CudaOnly = true,
        // said so that the driver does not save registers for more groups, and spill
        MinGroups = Selects(mode) || laneWords >= 8 ? 1 : 2,
        HoldsNext = true,
    };

    /// <summary>Tiles as a constant of the kernel, for sets of <paramref name="queries"/>: 0 for a single query, whose scores every lane has.</summary>
    public static int Tiles(int queries) => queries == 1 ? 0 : queries <= TileHeads ? 1 : MaxHeads / TileHeads;

    /// <summary>Whether labels of <paramref name="channels"/> for sets of a single query (no <paramref name="tiles"/>) are multiplied two beside each other: those of up to 64 bits, but for the eight channels that are so few in 8 bits.</summary>
    public static bool IsNarrow(LabelFormat format, int channels, int tiles) => tiles == 0 && format is LabelFormat.Int1 or LabelFormat.Int2 or LabelFormat.Int4 && LabelLayer.WordsFor(format, channels) <= 2;

    /// <summary>Tokens of a unit.</summary>
    public static int TokensOf(bool narrow) => narrow ? 2 * UnitTokens : UnitTokens;

    /// <summary>The <see cref="ILabelProduct"/> of labels.</summary>
    /// <exception cref="ArgumentException">Narrow for several queries, whose scores lanes share.</exception>
    public static Type Product(LabelFormat format, bool narrow, int tiles) =>
        narrow && tiles != 0 ? throw new ArgumentException($"labels beside each other are for sets of one query, not {tiles} tiles", nameof(tiles))
        : format == LabelFormat.F16 ? typeof(HalfProduct) : (narrow ? typeof(NarrowProduct<>) : tiles == 0 ? typeof(SingleProduct<>) : typeof(IntegerProduct<>)).MakeGenericType(LabelBits.Of(format));

    public static IEnumerable<KernelVariant> Variants =>
        from format in Enum.GetValues<LabelFormat>()
        from laneWords in new[] { 1, 2, 4, 8, 16 }
        where laneWords >= LaneWords(format, 1) && laneWords <= LaneWords(format, MaxChannels)
        from tiles in new[] { 0, 1, 8 }
        from mode in new[] { ScoresOnly, WithBins, WithSelection, WithMaximum, WithMassSelection }
        where !Selects(mode) || HasSelection(format, laneWords)
        from narrow in new[] { false, true }
        where !narrow || (laneWords == 1 && IsNarrow(format, 1, tiles))
        select Variant(format, laneWords, Units(format, mode, laneWords, tiles), tiles, mode, narrow);

    /// <summary>Grid (chunks, sets, rows).</summary>
    /// <param name="labels">The labels.</param>
    /// <param name="score">Queries, and where the scores go.</param>
    /// <param name="select">The rule, and where histograms and sets go.</param>
    /// <param name="keys">Keys of the rows' own tokens, whose labels are still to be written; empty where they are there, and in modes that <see cref="Appends"/> does not name.</param>
    /// <param name="own">K and V of the same tokens, where they are not in the cache.</param>
    public static void Run<TProduct, TWords, TUnits, TTiles, TMode>(LabelView labels, ScoreView score, SelectView select, ArrayView<float> keys, OwnRowView own)
        where TProduct : struct, ILabelProduct
        where TWords : struct, IKernelCount
        where TUnits : struct, IKernelCount
        where TTiles : struct, IKernelCount
        where TMode : struct, IKernelCount
    {
        // the queries first, then a histogram
        var bins = SharedMemory.Allocate<uint>(SortableKey.TopBins);
        var fragments = SharedMemory.Allocate<U2>(SliceScores.Fragments<TProduct, TWords>(TTiles.Slots));
        var columns = SharedMemory.Allocate<float>(3 * TTiles.Slots * TileHeads);
        int set = Grid.IdxY, row = Grid.IdxZ;
        int position = labels.Positions[row], first = score.FirstVisible(position);
        int origin = first & ~(LabelProduct.Tokens<TProduct, TUnits>() - 1);
        int start = origin + Grid.IdxX * score.ChunkTokens, end = Math.Min(start + score.ChunkTokens, position + 1);
        if (start <= position)
        {
            var range = VisibleRange.Of(select, row);
            var queries = QuerySet.Of(labels, score, row, set);
            if (TMode.Value == WithBins || TMode.Value == WithSelection)
            {
                // Beside those who prepare the queries, by the group that has the token in its chunk, of the kv head's first set. The token's own score may be of a label that is half there: it counts in the first bin and is in the
                // set without. Who attends to it is a later kernel.
                if (end == position + 1 && queries.FirstHead == queries.KvHead * score.GroupSize)
                {
                    if (keys.Length != 0 && Group.IdxX >> 5 == (Group.DimX >> 5) - 1) TProduct.WriteOwn(labels, queries, keys, score.HeadDim);
                    if (own.AreMissing && Group.IdxX >> 5 == (Group.DimX >> 5) - 2) own.Write(row, queries.KvHead, position);
                }
            }
            var slice = SliceScores.Of<TProduct, TWords, TUnits, TTiles, TMode>(labels, score, queries, range, first, start, end, score.Scores, ((long)row * Grid.DimY + set) * score.Capacity, bins, fragments, columns);
            if (TMode.Value != ScoresOnly && Grid.IdxX == 0 && Group.IdxX == 0) select.Scratch.Spreads[(long)row * Grid.DimY + set] = slice.Inverse;
            if (TMode.Value == WithMaximum) HistogramKernel.FlushMaximum(slice.Maximum, select.Scratch, (long)row * Grid.DimY + set);
            if (TMode.Value == WithMaximum)
            {
                Group.Barrier();
                HistogramKernel.Flush(bins, select.Scratch, (long)row * Grid.DimY + set);
            }
            if (TMode.Value == WithBins || TMode.Value == WithSelection)
            {
                Group.Barrier();
                ScoreBins.Flush(bins, select.Scratch, (long)row * Grid.DimY + set);
            }
            if (TMode.Value == WithSelection)
            {
                SetFilterMemory memory;
                // so few tokens rarely leave more than a handful open
                memory.MaxOpen = MaxOpen;
                memory.Open = SharedMemory.Allocate<ulong>(MaxOpen + SetFilter.OpenPadding);
                memory.Parted = memory.Open.SubView(0, 0);
                memory.Parts = bins.SubView(0, 0);
                memory.Totals = SharedMemory.Allocate<uint>(GroupScan.MaxWarps);
                memory.Word = SharedMemory.Allocate<uint>(SetFilter.Words);
                long number = (long)row * Grid.DimY + set;
                int chunks = (position - origin) / score.ChunkTokens + 1;
                if (Arrival.IsLast(ref select.Scratch.Arrivals[number], chunks, ref memory.Word[SetFilter.Last])) SetFilter.Run(select, range, number, 0, 1, SetFilter.WholeChunk(range.Last - range.Origin + 1, Group.DimX), memory);
            }
            if (TMode.Value == WithMassSelection)
            {
                var search = SharedMemory.Allocate<uint>(RankSearch.ScratchWords);
                var sums = SharedMemory.Allocate<ulong>(MassSearch.SumWords);
                var above = SharedMemory.Allocate<ulong>(GroupScan.MaxWarps);
                var tied = SharedMemory.Allocate<ulong>(GroupScan.MaxWarps);
                var high = SharedMemory.Allocate<uint>(MassSetSelection.Bins);
                long number = (long)row * Grid.DimY + set;
                int chunks = (position - origin) / score.ChunkTokens + 1;
                var masses = new MassBins { Counts = bins.SubView(0, MassSetSelection.Bins), Low = bins.SubView(MassSetSelection.Bins, MassSetSelection.Bins), High = high };
                if (Arrival.IsLast(ref select.Scratch.Arrivals[number], chunks, ref search[RankSearch.Before])) MassSetSelection.Run(select, range, number, masses, search, sums, above, tied);
            }
        }
    }
}
