using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Label products by tensor cores, 32 tokens a warp at a time: one pass over the labels for all query heads of a set. The same kernel can go on to the selection: with the first histogram
/// for long contexts, or, where a set fits one <see cref="KeyTile"/>, with all of it in the set's last group.
/// </summary>
/// <remarks>
/// A lane loads four tokens' copies of one word in 16 bytes; these are rows g and g + 8 of two products of 16 tokens, and the rows' scores come out in the same four lanes. Per token and 64
/// channels of 2 bits: 16 bytes, 36 ANDs and shifts, a quarter of a tensor instruction a query tile.
/// </remarks>
internal static class ScoreKernel
{
    /// <summary>Values of <c>TMode</c>: scores alone.</summary>
    public const int ScoresOnly = 0;

    /// <summary>Scores, and the first histogram in <see cref="SelectScratch.Histogram"/>.</summary>
    public const int WithHistogram = 1;

    /// <summary>Scores and sets.</summary>
    public const int WithSelection = 2;

    /// <summary>Tokens a warp scores at once.</summary>
    public const int UnitTokens = 32;

    /// <summary>Most query heads a set.</summary>
    public const int MaxHeads = 32;

    public static int GroupSize(int mode) => mode == WithSelection ? 1024 : 256;

    /// <summary>Words a lane loads of a token: a quarter of all, rounded up to what there are variants for.</summary>
    public static int LaneWords(LabelFormat format, int channels)
    {
        int words = (LabelLayer.WordsFor(format, channels) + 3) / 4, rounded = format == LabelFormat.F16 ? 2 : 1;
        while (rounded < words) rounded *= 2;
        return rounded;
    }

    /// <summary>Units a warp has under way: enough for 64 bytes a lane.</summary>
    public static int Units(int mode, int laneWords) => mode == WithSelection ? 1 : Math.Max(1, 4 / laneWords);

    /// <summary>
    /// Tokens a group of threads: whole steps of <paramref name="step"/> tokens, as few as make one wave of groups over the multiprocessors, so that preparing the queries and writing
    /// the histogram are paid once a wave.
    /// </summary>
    public static int ChunkTokens(int mode, int step, long tokens, int multiprocessors)
    {
        long groups = (long)multiprocessors * (mode == WithSelection ? 1 : 4);
        long steps = (tokens + groups * step - 1) / (groups * step);
        return (int)Math.Clamp(steps, 1, 64) * step;
    }

    public static KernelVariant Variant(LabelFormat format, int laneWords, int units, int tiles, int mode) => KernelVariant.Of(typeof(ScoreKernel), nameof(Run), GroupSize(mode),
        LabelBits.Of(format), KernelCounts.Of(laneWords), KernelCounts.Of(units), KernelCounts.Of(tiles), KernelCounts.Of(mode)) with
    { CudaOnly = true };

    public static IEnumerable<KernelVariant> Variants =>
        from format in Enum.GetValues<LabelFormat>()
        from laneWords in new[] { 1, 2, 4, 8, 16 }
        where laneWords >= LaneWords(format, 1) && laneWords <= LaneWords(format, QueryFragments.MaxChannels)
        from tiles in new[] { 1, 8 }
        from mode in new[] { ScoresOnly, WithHistogram, WithSelection }
        select Variant(format, laneWords, Units(mode, laneWords), tiles, mode);

    /// <summary>Grid (chunks, sets, rows).</summary>
    public static void Run<TBits, TWords, TUnits, TTiles, TMode>(LabelView labels, ScoreView score, SelectView select)
        where TBits : struct, ILabelBits
        where TWords : struct, IKernelCount
        where TUnits : struct, IKernelCount
        where TTiles : struct, IKernelCount
        where TMode : struct, IKernelCount
    {
        // the queries first, then the histogram
        var bins = SharedMemory.Allocate<uint>(SortableKey.TopBins);
        var fragments = SharedMemory.Allocate<U2>(TTiles.Value * TWords.Value * TBits.Pairs * 16);
        var factors = SharedMemory.Allocate<float>(TTiles.Value * QueryFragments.TileHeads);
        var summands = SharedMemory.Allocate<float>(TTiles.Value * QueryFragments.TileHeads);
        int set = Grid.IdxY, row = Grid.IdxZ;
        int position = labels.Positions[row], first = score.FirstVisible(position);
        int unit = TUnits.Value * UnitTokens, origin = first & ~(unit - 1);
        int start = origin + Grid.IdxX * score.ChunkTokens, end = Math.Min(start + score.ChunkTokens, position + 1);
        if (start <= position)
        {
            int heads = score.Sum != 0 ? 1 : score.HeadsPerSet;
            int tiles = (heads + QueryFragments.TileHeads - 1) >> 2;
            int kvHead = set * score.HeadsPerSet / score.GroupSize, table = row * labels.MaxBlocks;
            int stride = (Group.DimX >> 5) * unit, token = start + (Group.IdxX >> 5) * unit;
            ulong policy = Loads.EvictFirst();
            var words = new U4[TUnits.Slots * TWords.Slots];
            var following = new U4[TUnits.Slots * TWords.Slots];
            // the first labels are on their way while the queries are prepared
            if (token < end) LabelWords.Load<TWords, TUnits>(labels, labels.BlockTable[table + (token >> KvLayer.BlockShift)], kvHead, token, policy, words);
            QueryFragments.Build<TBits, TWords>(labels, score, row, set, tiles, bins.Cast<float>(), fragments, factors, summands);
            if (TMode.Value == WithHistogram)
            {
                for (int i = Group.IdxX; i < SortableKey.TopBins; i += Group.DimX) bins[i] = 0u;
                Group.Barrier();
            }
            var range = VisibleRange.Of(select, row);
            long output = ((long)row * Grid.DimY + set) * score.Capacity;
            // allocated outside of the loop: inside it would lie in local memory
            var best = new float[TUnits.Value * 4];
            while (token < end)
            {
                int next = token + stride;
                if (next < end) LabelWords.Load<TWords, TUnits>(labels, labels.BlockTable[table + (next >> KvLayer.BlockShift)], kvHead, next, policy, following);
                for (int i = 0; i < TUnits.Value * 4; i++) best[i] = float.NegativeInfinity;
                for (int tile = 0; tile < tiles; tile++)
                    LabelProduct.Accumulate<TBits, TWords, TUnits>(labels, table, kvHead, token, tile, heads, words, fragments, factors, summands, best);
                for (int u = 0; u < TUnits.Slots; u++)
                {
                    if (u < TUnits.Value)
                    {
                        float value = LabelProduct.OwnToken(best[u * 4], best[u * 4 + 1], best[u * 4 + 2], best[u * 4 + 3]);
                        int own = token + u * UnitTokens + (Group.IdxX & 31);
                        if (own >= first && own < end)
                        {
                            score.Scores[output + own] = value;
                            if (TMode.Value == WithHistogram) Atomic.Add(ref bins[SortableKey.TopBin(range.Key(own, value))], 1u);
                        }
                    }
                }
                for (int i = 0; i < TUnits.Slots * TWords.Slots; i++)
                {
                    if (i < TUnits.Value * TWords.Value) words[i] = following[i];
                }
                token = next;
            }
            if (TMode.Value == WithHistogram)
            {
                Group.Barrier();
                HistogramKernel.Flush(bins, select.Scratch, (long)row * Grid.DimY + set);
            }
            if (TMode.Value == WithSelection)
            {
                var search = SharedMemory.Allocate<uint>(RankSearch.ScratchWords);
                var above = SharedMemory.Allocate<ulong>(GroupScan.MaxWarps);
                var tied = SharedMemory.Allocate<ulong>(GroupScan.MaxWarps);
                long number = (long)row * Grid.DimY + set;
                int chunks = (position - origin) / score.ChunkTokens + 1;
                if (Arrival.IsLast(ref select.Scratch.Arrivals[number], chunks, ref search[0])) SetSelection.Run(select, range, number, bins, search, above, tied);
            }
        }
    }
}
