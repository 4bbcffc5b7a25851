using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>
/// Decode attention on tensor cores (CUDA), dense or over selected tokens, split over the sequence and merged in the same launch by the group that finishes last. A group works on one split
/// of one set: a kv head's K and V are read once for up to eight query heads.
/// </summary>
/// <remarks>
/// <para>Each warp streams tiles of 16 tokens through its own ring in shared memory (<c>cp.async</c>, no barriers between warps), so the bytes in flight do not depend on registers. A tile's logits
/// are Sᵀ = K·qᵀ with the tile's K as the 16-row operand and eight query columns; the softmax weights, transposed in registers, are the columns of Oᵀ += Vᵀ·Pᵀ.</para>
/// <para>Queries and weights are 16-bit pairs, a rounded number plus the rounded rest, multiplied one after the other into fp32 sums: twice the products (tensor cores are idle here anyway)
/// for the accuracy of fp32 queries and weights.</para>
/// </remarks>
internal static class TensorDecodeKernel
{
    /// <summary>Query heads a set, the columns of the tensor-core operand.</summary>
    public const int MaxSlots = 8;

    /// <summary>Tokens a tile.</summary>
    public const int TileTokens = 16;

    /// <summary>Most shared memory that a group of compute capability 9.0 can have.</summary>
    public const int HopperSharedBytes = 227 * 1024;

    private const float Nothing = float.NegativeInfinity;

    /// <summary>The variant for a format, head size, pipeline and token source.</summary>
    public static KernelVariant Variant(Type element, int channels, DecodeTuning tuning, Type tokens) =>
        KernelVariant.Of(typeof(TensorDecodeKernel), nameof(Run), 32 * tuning.Warps, element, HeadSizes.Of(channels), tuning.Pipeline, tokens) with
        {
            CudaOnly = true,
            DynamicSharedBytes = SharedBytes(channels, tuning.Warps, tuning.Stages),
            // as many as the rings leave room for: with fewer registers the driver would spill for groups that cannot be there anyway
            MinGroups = Math.Clamp(HopperSharedBytes / SharedBytes(channels, tuning.Warps, tuning.Stages), 1, tuning.Warps > 4 ? 2 : 3),
        };

    /// <summary>The variants of the chosen tuning, and those of one shape for every tuning that is worth timing.</summary>
    public static IEnumerable<KernelVariant> Variants =>
        (from element in TensorElements.All
         from channels in HeadSizes.All
         from choice in new[] { (DecodeTuning.Dense, typeof(DenseTokens)), (DecodeTuning.Selected, typeof(SelectedTokens)) }
         select Variant(element, channels, choice.Item1.For(KvFormat.F16, channels, HopperSharedBytes)!.Value, choice.Item2))
        .Concat(from tuning in DecodeTuning.Candidates
                from tokens in new[] { typeof(DenseTokens), typeof(SelectedTokens) }
                select Variant(typeof(TensorF16), 128, tuning, tokens))
        .Distinct();

    /// <summary>
    /// Grid (splits, sets, rows). <paramref name="partials"/> <c>[row, head, split, channel]</c> and <paramref name="sums"/> <c>[row, head, split, 2]</c> hold the splits' outputs with
    /// their maxima and sums; <paramref name="arrivals"/> <c>[row, set]</c> is zero before and after. K and V of the rows' own tokens are written where <paramref name="own"/> has them and every token is attended to.
    /// </summary>
    public static void Run<TElement, THead, TPipeline, TTokens>(KvView cache, OwnRowView own, ArrayView<float> q, ArrayView<float> y, ArrayView<float> partials, ArrayView<float> sums, ArrayView<int> arrivals, AttentionArgs args)
        where TElement : struct, ITensorElement
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
        where TTokens : struct, ITokenSource
    {
        var memory = SharedMemory.GetDynamic<U4>();
        // what the cache holds but the rows' own tokens was there before the graph, and so were positions and blocks
        if (!TTokens.Contiguous || args.StartsEarly == 0) DependentLaunch.AwaitEarlier();
        int row = Grid.IdxZ, set = Grid.IdxY;
        var range = TTokens.Range(cache, args, row, set);
        int tiles = SplitPlace.Tiles(range), splits = SplitPlace.Count(tiles, args);
        if (Grid.IdxX < splits)
        {
            var place = SplitPlace.Of(range, args, tiles, splits);
            Attend<TElement, THead, TPipeline, TTokens, LoadedQueries>(memory, cache, own, q, default, args, range, set, place);
            // No earlier: the next kernel's groups would ask for weights that compete with the last rows. It has one group a multiprocessor, so that it loses nothing where they are free at different times.
            if (TTokens.Contiguous) DependentLaunch.LetNextStart();
            SplitMerge.Group<THead, TPipeline>(memory.Cast<float>(), y, partials, sums, args, place);
            if (splits > 1) SplitMerge.Last<THead, TPipeline>(memory, y, partials, sums, arrivals, args, place);
        }
    }

    /// <summary>The group's tiles, each warp every WarpCount-th; leaves the warps' results in shared memory, see <see cref="WarpResult"/>. <paramref name="ring"/> is <see cref="SharedBytes"/> long, <paramref name="fragments"/> are what <see cref="PreparedQueries"/> are read from.</summary>
    public static void Attend<TElement, THead, TPipeline, TTokens, TQueries>(ArrayView<U4> ring, KvView cache, OwnRowView own, ArrayView<float> q, ArrayView<U4> fragments, AttentionArgs args, KeyRange range, int set, SplitPlace place)
        where TElement : struct, ITensorElement
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
        where TTokens : struct, ITokenSource
        where TQueries : struct, IQuerySource
    {
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5;
        int stage = 2 * TileTokens * Stride(THead.Channels); // 16-byte units: a tile of K, a tile of V
        int ringStart = warp * TPipeline.Stages * stage;

        // rows make way for what is read again: before the next step they are by other sets of the kv head alone, at about the same time
        ulong policy = Loads.EvictFirst();

        // one tile's rows are located while the tile before is being asked for
        int count = (place.End - place.Begin - warp + (1 << TPipeline.WarpShift) - 1) >> TPipeline.WarpShift;
        int tile = place.Begin + warp, last = range.End - 1;
        TileCursor next = default;
        next.Tile = tile;
        if (count > 0)
        {
            next.Offset = Locate(cache, args, place.Row, place.KvHead, Entry<TTokens>(cache, args, place.Row, set, tile, lane, last));
            next.Position = Entry<TTokens>(cache, args, place.Row, set, tile + (1 << TPipeline.WarpShift), lane, last);
        }
        // The warp whose last tile has the row's own token writes it, when everything before is finished, and asks for that tile no earlier. No other warp reads it: where several groups share a kv head, each has such a warp, which
        // relies on its own write. Its lanes copy the row from the second-level cache (cp.async.cg) after they have waited for each other.
        bool lastTile = TTokens.Contiguous && count > 0 && place.Split == place.Splits - 1 && tile + (count - 1 << TPipeline.WarpShift) == place.End - 1;
        int early = lastTile ? IntrinsicMath.Min(count - 1, TPipeline.Stages) : TPipeline.Stages;
        for (int s = 0; s < early; s++)
        {
            if (s < count) next = AskNext<THead, TPipeline, TTokens>(cache, ring, ringStart + s * stage, next, args, range, place, set, lane, policy);
            TensorOps.Commit();
        }
        if (TTokens.Contiguous)
        {
            DependentLaunch.AwaitEarlier();
            if (lastTile && own.AreMissing)
            {
                own.Write(place.Row, place.KvHead, last);
                TensorOps.WarpSync();
            }
            for (int s = early; s < TPipeline.Stages; s++)
            {
                if (s < count) next = AskNext<THead, TPipeline, TTokens>(cache, ring, ringStart + s * stage, next, args, range, place, set, lane, policy);
                TensorOps.Commit();
            }
        }

        int steps = THead.Channels >> 4;
        var query = new U2[steps];
        var queryRest = new U2[steps];
        TQueries.Load<TElement, THead>(q, fragments, args, place, lane, query, queryRest);

        var output = new F4[steps];
        float max0 = Nothing, max1 = Nothing, sum0 = 0f, sum1 = 0f;
        int slot = 0;
        for (int i = 0; i < count; i++)
        {
            TensorOps.WaitGroup(TPipeline.Stages - 1);
            TensorOps.WarpSync();
            int at = ringStart + slot * stage;

            // Sᵀ: this lane has tokens g and g + 8 for query columns 2t and 2t + 1
            F4 s = default, rest = default;
            for (int k = 0; k < steps; k++)
            {
                var keys = TensorOps.LoadMatrix(ref ring[at + (lane & 15) * Stride(THead.Channels) + 2 * k + (lane >> 4)]);
                s = TElement.Multiply(keys, query[k], s);
                rest = TElement.Multiply(keys, queryRest[k], rest);
            }
            int entry = (tile << 4) + (lane >> 2);
            float mask0 = Mask(range, entry), mask1 = Mask(range, entry + 8);
            float s00 = s.X + rest.X + mask0, s01 = s.Y + rest.Y + mask0;
            float s10 = s.Z + rest.Z + mask1, s11 = s.W + rest.W + mask1;

            float next0 = IntrinsicMath.Max(max0, TokenMax(IntrinsicMath.Max(s00, s10)));
            float next1 = IntrinsicMath.Max(max1, TokenMax(IntrinsicMath.Max(s01, s11)));
            float decay0 = TensorOps.Exp2(max0 - next0), decay1 = TensorOps.Exp2(max1 - next1);
            max0 = next0;
            max1 = next1;
            float p00 = TensorOps.Exp2(s00 - max0), p01 = TensorOps.Exp2(s01 - max1);
            float p10 = TensorOps.Exp2(s10 - max0), p11 = TensorOps.Exp2(s11 - max1);
            sum0 = sum0 * decay0 + (p00 + p10);
            sum1 = sum1 * decay1 + (p01 + p11);

            // transposed, the pairs of query columns become pairs of tokens: the operand of the product with V
            uint upper = TElement.Pack(p00, p01), lower = TElement.Pack(p10, p11);
            U2 weights, weightsRest;
            weights.X = TensorOps.Transpose(upper);
            weights.Y = TensorOps.Transpose(lower);
            weightsRest.X = TensorOps.Transpose(TElement.Pack(p00 - TElement.Low(upper), p01 - TElement.High(upper)));
            weightsRest.Y = TensorOps.Transpose(TElement.Pack(p10 - TElement.Low(lower), p11 - TElement.High(lower)));
            int values = at + TileTokens * Stride(THead.Channels) + ((lane & 7) + ((lane >> 4) << 3)) * Stride(THead.Channels) + ((lane >> 3) & 1);
            for (int k = 0; k < steps; k++)
            {
                var channels = TensorOps.LoadMatrixTransposed(ref ring[values + 2 * k]);
                var o = output[k];
                o.X *= decay0;
                o.Y *= decay1;
                o.Z *= decay0;
                o.W *= decay1;
                o = TElement.Multiply(channels, weights, o);
                output[k] = TElement.Multiply(channels, weightsRest, o);
            }
            TensorOps.WarpSync();

            if (i + TPipeline.Stages < count) next = AskNext<THead, TPipeline, TTokens>(cache, ring, at, next, args, range, place, set, lane, policy);
            TensorOps.Commit();
            tile += 1 << TPipeline.WarpShift;
            slot = slot + 1 == TPipeline.Stages ? 0 : slot + 1;
        }

        // the ring is free once every warp is here
        TensorOps.WaitGroup(0);
        Group.Barrier();
        WarpResult.Store<THead, TPipeline>(ring.Cast<float>(), output, max0, max1, TokenSum(sum0), TokenSum(sum1), place.Slots);
        Group.Barrier();
    }

    /// <summary>16-byte units from one token's row to the next in the ring: odd, so that eight rows lie in different banks.</summary>
    public static int Stride(int channels) => (channels >> 3) + 1;

    /// <summary>Dynamic shared memory in bytes: the rings, which hold the warps' results afterwards.</summary>
    public static int SharedBytes(int channels, int warps, int stages) => warps * stages * 2 * TileTokens * Stride(channels) * 16;

    /// <summary>All ones for an entry that is not in the range, else zero: without branches, which ILGPU would make of a condition.</summary>
    public static int Outside(KeyRange range, int entry) => ((entry - range.First) | (range.End - 1 - entry)) >> 31;

    /// <summary>What to add to a logit: minus infinity outside the range.</summary>
    public static float Mask(KeyRange range, int entry) => Interop.IntAsFloat((uint)Outside(range, entry) & 0xff800000u);

    /// <summary>Largest over the lanes that hold the same query columns.</summary>
    public static float TokenMax(float value)
    {
        value = IntrinsicMath.Max(value, Warp.ShuffleXor(value, 4));
        value = IntrinsicMath.Max(value, Warp.ShuffleXor(value, 8));
        return IntrinsicMath.Max(value, Warp.ShuffleXor(value, 16));
    }

    /// <summary>Sum over the lanes that hold the same query columns.</summary>
    public static float TokenSum(float value)
    {
        value += Warp.ShuffleXor(value, 4);
        value += Warp.ShuffleXor(value, 8);
        return value + Warp.ShuffleXor(value, 16);
    }

    /// <summary>The position whose row this lane locates: its own of a list, or the tile's first. Past the end the last one stands in.</summary>
    public static int Entry<TTokens>(KvView cache, AttentionArgs args, int row, int set, int tile, int lane, int last)
        where TTokens : struct, ITokenSource
    {
        int entry = TTokens.Contiguous ? tile << 4 : (tile << 4) + (lane & 15);
        return TTokens.Position(cache, args, row, set, IntrinsicMath.Min(entry, last));
    }

    /// <summary>Rows of the cache before the position's.</summary>
    public static int Locate(KvView cache, AttentionArgs args, int row, int kvHead, int position) =>
        ((cache.Blocks[row * args.MaxBlocks + (position >> KvLayer.BlockShift)] * args.KvHeads + kvHead) << KvLayer.BlockShift) + (position & (KvLayer.BlockTokens - 1));

    // Asks for the cursor's tile and moves it on.
    private static TileCursor AskNext<THead, TPipeline, TTokens>(KvView cache, ArrayView<U4> ring, int at, TileCursor next, AttentionArgs args, KeyRange range, SplitPlace place, int set, int lane, ulong policy)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
        where TTokens : struct, ITokenSource
    {
        Ask<THead, TTokens>(cache, ring, at, next.Offset, next.Tile, range, lane, policy);
        next.Tile += 1 << TPipeline.WarpShift;
        next.Offset = Locate(cache, args, place.Row, place.KvHead, next.Position);
        if (TPipeline.Stages == 1) AskAhead<THead>(cache, next.Offset, lane);
        next.Position = Entry<TTokens>(cache, args, place.Row, set, next.Tile + (1 << TPipeline.WarpShift), lane, range.End - 1);
        return next;
    }

    // Starts the copies of a tile.
    private static void Ask<THead, TTokens>(KvView cache, ArrayView<U4> ring, int at, int offset, int tile, KeyRange range, int lane, ulong policy)
        where THead : struct, IHeadSize
        where TTokens : struct, ITokenSource
    {
        var k = cache.K.Cast<U4>();
        var v = cache.V.Cast<U4>();
        int units = THead.Channels >> 3; // of a row; a tile has 16 rows, so every lane copies units / 2
        for (int j = 0; j < THead.Channels >> 4; j++)
        {
            int unit = lane + 32 * j;
            int row = unit / units, column = unit - row * units;
            long source = TTokens.Contiguous ? (long)offset * units + lane + 32 * j : (long)Warp.Shuffle(offset, row) * units + column;
            int target = at + row * Stride(THead.Channels) + column;
            int bytes = 16 & ~Outside(range, (tile << 4) + row);
            TensorOps.CopyAsync(ref ring[target], ref k[source], bytes, policy);
            TensorOps.CopyAsync(ref ring[target + TileTokens * Stride(THead.Channels)], ref v[source], bytes, policy);
        }
    }

    // Has the second-level cache bring a tile's rows: lanes 0 to 15 those of K, the others those of V.
    private static void AskAhead<THead>(KvView cache, int offset, int lane)
        where THead : struct, IHeadSize
    {
        const int line = 64; // numbers
        long first = (long)offset * (THead.Channels >> 1);
        for (int i = 0; i < THead.Channels >> 1; i += line >> 1)
        {
            if (lane < TileTokens) Loads.Ahead(ref cache.K[first + i]);
            else Loads.Ahead(ref cache.V[first + i]);
        }
    }
}
