using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>What a group of threads learns while it scores its slice of a set's tokens.</summary>
internal struct SliceScores
{
    /// <summary>One over the spread that the queries let expect, for <see cref="ScoreBins"/>; 1 without a histogram.</summary>
    public float Inverse;

    /// <summary>The largest key of this thread's tokens, with <see cref="ScoreKernel.WithMaximum"/>.</summary>
    public uint Maximum;

    /// <summary>
    /// Scores the tokens from <paramref name="start"/>, a multiple of a warp's units, to before <paramref name="end"/>, as far as they are visible (from <paramref name="first"/> on), into <paramref name="scores"/> from
    /// <paramref name="output"/> on, and counts them in <paramref name="bins"/> where <typeparamref name="TMode"/> says so. The whole group calls; the histogram is complete after a barrier.
    /// </summary>
    /// <param name="labels">The labels.</param>
    /// <param name="score">The queries of all sets.</param>
    /// <param name="queries">Those of the set.</param>
    /// <param name="range">What the row sees, with a histogram.</param>
    /// <param name="first">First visible token.</param>
    /// <param name="start">First token of the slice.</param>
    /// <param name="end">End of the slice.</param>
    /// <param name="scores">Where the scores go; with <see cref="ScoreKernel.Resident"/> their codes, as <see cref="ResidentCodes"/>.</param>
    /// <param name="output">Place of token 0 in them.</param>
    /// <param name="bins">Shared memory for the queries (a tile's are <see cref="ScoreKernel.TileHeads"/> times <see cref="ScoreKernel.MaxChannels"/> numbers), then for the histogram.</param>
    /// <param name="fragments">Shared memory for the right-hand sides of the products, <see cref="Fragments"/> of them.</param>
    /// <param name="columns">Shared memory of three numbers a query: factors, summands and spreads.</param>
    public static SliceScores Of<TProduct, TWords, TUnits, TTiles, TMode>(LabelView labels, ScoreView score, QuerySet queries, VisibleRange range, int first, int start, int end,
        ArrayView<float> scores, long output, ArrayView<uint> bins, ArrayView<U2> fragments, ArrayView<float> columns)
        where TProduct : struct, ILabelProduct
        where TWords : struct, IKernelCount
        where TUnits : struct, IKernelCount
        where TTiles : struct, IKernelCount
        where TMode : struct, IKernelCount
    {
        var factors = columns.SubView(0, TTiles.Slots * ScoreKernel.TileHeads);
        var summands = columns.SubView(TTiles.Slots * ScoreKernel.TileHeads, TTiles.Slots * ScoreKernel.TileHeads);
        var spreads = columns.SubView(2 * TTiles.Slots * ScoreKernel.TileHeads, TTiles.Slots * ScoreKernel.TileHeads);
        int kvHead = queries.KvHead, table = queries.Row * labels.MaxBlocks;
        int unit = LabelProduct.Tokens<TProduct, TUnits>(), stride = (Group.DimX >> 5) * unit, token = start + (Group.IdxX >> 5) * unit;
        int place = LabelWords.Place<TProduct>(labels);
        ulong policy = Loads.EvictFirst();
        var words = new U4[TUnits.Slots * TWords.Slots];
        var following = new U4[TUnits.Slots * TWords.Slots];
        // the first labels are on their way while the queries are prepared
        if (token < end) LabelWords.Load<TProduct, TWords, TUnits>(labels, labels.BlockTable[table + (token >> KvLayer.BlockShift)], kvHead, token, place, policy, words);
        TProduct.Prepare<TWords>(labels, score, queries, bins.Cast<float>(), fragments, factors, summands, spreads);
        SliceScores result;
        result.Inverse = 1f;
        result.Maximum = 0;
        if (TMode.Value != ScoreKernel.ScoresOnly)
        {
            for (int i = Group.IdxX; i < (HasBins<TMode>() ? ScoreBins.Bins : SortableKey.TopBins); i += Group.DimX) bins[i] = 0u;
            float spread = spreads[0];
            for (int i = 1; i < queries.Count; i++) spread = Math.Max(spread, spreads[i]);
            // a reciprocal that is a normal number: bins must rise with scores
            result.Inverse = spread > 1e-30f ? 1f / Math.Min(spread, 1e37f) : 1f;
            Group.Barrier();
        }
        // allocated outside of the loop: inside it would lie in local memory
        var best = new float[TUnits.Slots * 4];
        var fours = new F4[TUnits.Slots];
        var places = new int[TUnits.Slots * 2];
        // a single query's, in registers
        var query = LabelProduct.Query<TProduct, TWords>(fragments, 0, Group.IdxX & 31);
        float factor = factors[0], summand = summands[0];
        while (token < end)
        {
            int next = token + stride;
            if (next < end) LabelWords.Load<TProduct, TWords, TUnits>(labels, labels.BlockTable[table + (next >> KvLayer.BlockShift)], kvHead, next, place, policy, following);
            // for all warps: most of what is calculated for it is the same
            if (TMode.Value == ScoreKernel.InCluster && Group.IdxX < 32) LabelWords.Ahead(labels, table, kvHead, token + LabelWords.StepsAhead * stride, Math.Min(token + (LabelWords.StepsAhead + 1) * stride, end));
            Best<TProduct, TWords, TUnits, TTiles>(labels, table, kvHead, token, queries.Tiles, words, query, factor, summand, fragments, factors, summands, best, fours);
            // nearly all tokens are visible, and in by their scores alone: of theirs nothing is asked one by one
            int inside = (token - first) | (end - unit - token);
            if (HasBins<TMode>()) inside |= (token - range.SinkEnd) | (range.RecentStart - unit - token);
            bool open = TMode.Value != ScoreKernel.WithMaximum && inside >= 0;
            if (open)
            {
                for (int u = 0; u < 2 * TUnits.Slots; u++)
                {
                    if (u < TUnits.Value * TProduct.Beside)
                    {
                        int own = token + LabelProduct.Place<TProduct>(u);
                        if (TMode.Value == ScoreKernel.Resident)
                        {
                            int code = ScoreBins.Code(best[u], result.Inverse);
                            ResidentCodes.Put(scores, (int)output + own, code);
                            Atomic.Add(ref bins[code >> ScoreBins.CodeShift], 1u);
                        }
                        else
                        {
                            scores[output + own] = best[u];
                            if (HasBins<TMode>()) Atomic.Add(ref bins[ScoreBins.Of(best[u], result.Inverse)], 1u);
                        }
                    }
                }
            }
            else
            {
                // all units' bins before the first is counted, so that nothing of one waits for another
                for (int u = 0; u < 2 * TUnits.Slots; u++)
                {
                    if (u < TUnits.Value * TProduct.Beside)
                    {
                        int own = token + LabelProduct.Place<TProduct>(u);
                        if (TMode.Value == ScoreKernel.WithMaximum) places[u] = SortableKey.TopBin(range.InsideKey(own, best[u]));
                        if (TMode.Value == ScoreKernel.Resident) places[u] = ScoreBins.Code(best[u], result.Inverse);
                        else if (HasBins<TMode>()) places[u] = ScoreBins.Of(best[u], result.Inverse) & ~range.ForcedMask(own);
                    }
                }
                for (int u = 0; u < 2 * TUnits.Slots; u++)
                {
                    if (u < TUnits.Value * TProduct.Beside)
                    {
                        int own = token + LabelProduct.Place<TProduct>(u);
                        if (((own - first) | (end - 1 - own)) >= 0)
                        {
                            if (TMode.Value == ScoreKernel.Resident)
                            {
                                ResidentCodes.Put(scores, (int)output + own, places[u]);
                                places[u] = (places[u] >> ScoreBins.CodeShift) & ~range.ForcedMask(own);
                            }
                            else scores[output + own] = best[u];
                            if (TMode.Value == ScoreKernel.WithMaximum) result.Maximum = Math.Max(result.Maximum, SortableKey.Of(best[u]));
                            if (HasBins<TMode>() || TMode.Value == ScoreKernel.WithMaximum) Atomic.Add(ref bins[places[u]], 1u);
                        }
                    }
                }
            }
            for (int i = 0; i < TUnits.Slots * TWords.Slots; i++)
            {
                if (i < TUnits.Value * TWords.Value) words[i] = following[i];
            }
            token = next;
        }
        return result;
    }

    /// <summary>
    /// The scores of the lane's tokens (<see cref="LabelProduct.Place"/>) in the unit that begins with <paramref name="token"/>, of labels of up to 128 bits, once more, to the last bit, after a group has called <see cref="Of"/> with the same
    /// queries: in <paramref name="best"/>. The warp calls. One unit, whatever is scored at once otherwise: this is rarely done, and has to leave registers to what is around it.
    /// </summary>
    public static void Again<TProduct, TTiles>(LabelView labels, int row, int kvHead, int token, ArrayView<U2> fragments, ArrayView<float> columns, float[] best)
        where TProduct : struct, ILabelProduct
        where TTiles : struct, IKernelCount
    {
        var factors = columns.SubView(0, TTiles.Slots * ScoreKernel.TileHeads);
        var summands = columns.SubView(TTiles.Slots * ScoreKernel.TileHeads, TTiles.Slots * ScoreKernel.TileHeads);
        int table = row * labels.MaxBlocks;
        // of one they would lie in local memory
        var words = new U4[KernelCounts.N1.Slots];
        var fours = new F4[KernelCounts.N1.Slots];
        LabelWords.Load<TProduct, KernelCounts.N1, KernelCounts.N1>(labels, labels.BlockTable[table + (token >> KvLayer.BlockShift)], kvHead, token, LabelWords.Place<TProduct>(labels), Loads.EvictFirst(), words);
        var query = LabelProduct.Query<TProduct, KernelCounts.N1>(fragments, 0, Group.IdxX & 31);
        Best<TProduct, KernelCounts.N1, KernelCounts.N1, TTiles>(labels, table, kvHead, token, TTiles.Value, words, query, factors[0], summands[0], fragments, factors, summands, best, fours);
    }

    // The lane's scores from a warp's labels, with the largest of several queries.
    private static void Best<TProduct, TWords, TUnits, TTiles>(LabelView labels, int table, int kvHead, int token, int tiles, U4[] words, U2[] query, float factor, float summand, ArrayView<U2> fragments, ArrayView<float> factors, ArrayView<float> summands, float[] best, F4[] fours)
        where TProduct : struct, ILabelProduct
        where TWords : struct, IKernelCount
        where TUnits : struct, IKernelCount
        where TTiles : struct, IKernelCount
    {
        if (TTiles.Value == 0) LabelProduct.Own<TProduct, TWords, TUnits>(labels, table, kvHead, token, words, query, factor, summand, best);
        else
        {
            if (TTiles.Value == 1) LabelProduct.Accumulate<TProduct, TWords, TUnits>(labels, table, kvHead, token, 0, words, fragments, factors, summands, true, best, fours);
            else
            {
                for (int i = 0; i < TUnits.Slots * 4; i++) best[i] = float.NegativeInfinity;
                for (int tile = 0; tile < tiles; tile++)
                    LabelProduct.Accumulate<TProduct, TWords, TUnits>(labels, table, kvHead, token, tile, words, fragments, factors, summands, false, best, fours);
            }
            for (int u = 0; u < TUnits.Slots; u++)
            {
                if (u < TUnits.Value) best[u] = LabelProduct.LargestOfToken(best[u * 4], best[u * 4 + 1], best[u * 4 + 2], best[u * 4 + 3]);
            }
        }
    }

    // Whether the histogram is one of ScoreBins.
    private static bool HasBins<TMode>()
        where TMode : struct, IKernelCount
        => TMode.Value is ScoreKernel.WithBins or ScoreKernel.WithSelection or ScoreKernel.InCluster or ScoreKernel.Resident;

    /// <summary>Pairs of words that the right-hand sides of <paramref name="tiles"/> tiles of queries take.</summary>
    public static int Fragments<TProduct, TWords>(int tiles)
        where TProduct : struct, ILabelProduct
        where TWords : struct, IKernelCount
        => tiles * (TWords.Value * TProduct.Registers + 1 >> 1) * TProduct.Parts * 32;
}
