using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>
/// <see cref="TensorDecodeKernel"/> for bytes with a scale a token: the same splits, rings and merge, with half the bytes a tile. Bytes become halves, exactly, in registers; logits are multiplied by their token's scale of K,
/// and weights by that of V relative to the largest power of two that the warp has seen in one, so that halves do not underflow whatever the scales are.
/// </summary>
/// <remarks>
/// Matrix loads move 16 bits at a time, so a lane's 32 bits are four neighbouring channels of K, or two of V for two tokens. A sum over channels does not mind their order: the query's fragments follow K's, and the outputs
/// are stored by pairs (<see cref="WarpResult.StorePairs"/>). Rows are padded to whole 32 channels; the padding's query is zero and its outputs are dropped.
/// </remarks>
internal static class TensorInt8Kernel
{
    private const int TileTokens = TensorDecodeKernel.TileTokens;

    // scales of a tile's K and V, in 16-byte units
    private const int ScaleUnits = 2 * TileTokens * sizeof(float) / 16;

    private const float Nothing = float.NegativeInfinity;

    // the smallest power of two that is told apart: 2^-100
    private const uint LeastScale = 27u << 23;

    /// <summary>Launch choices: tiles are half as large as those of 16 bits, so there are more of them under way.</summary>
    public static DecodeTuning Tuning => new(Warps: 4, Stages: 4, Waves: 1, MinSplitTokens: 64);

    /// <summary>The variant for a head size, pipeline and token source.</summary>
    public static KernelVariant Variant(int channels, DecodeTuning tuning, Type tokens) =>
        KernelVariant.Of(typeof(TensorInt8Kernel), nameof(Run), 32 * tuning.Warps, HeadSizes.Of(channels), tuning.Pipeline, tokens) with
        {
            CudaOnly = true,
            // a long stream, and what it would lose by an uneven start of the next is more than the start costs
            HoldsNext = tokens == typeof(DenseTokens),
            DynamicSharedBytes = SharedBytes(channels, tuning.Warps, tuning.Stages),
            MinGroups = Math.Clamp(TensorDecodeKernel.HopperSharedBytes / SharedBytes(channels, tuning.Warps, tuning.Stages), 1, 3),
        };

    /// <summary>All variants.</summary>
    public static IEnumerable<KernelVariant> Variants =>
        from channels in HeadSizes.All
        from tokens in new[] { typeof(DenseTokens), typeof(SelectedTokens) }
        select Variant(channels, Tuning.For(KvFormat.Int8, channels, TensorDecodeKernel.HopperSharedBytes)!.Value, tokens);

    /// <summary>16-byte units from one token's row to the next in the ring: odd, so that eight rows lie in different banks.</summary>
    public static int Stride(int channels) => ((channels + 31) >> 5) * 2 + 1;

    /// <summary>Dynamic shared memory in bytes: the rings, which hold the warps' results and the splits' weights afterwards.</summary>
    public static int SharedBytes(int channels, int warps, int stages) => warps * stages * (2 * TileTokens * Stride(channels) + ScaleUnits) * 16;

    /// <summary>As <see cref="TensorDecodeKernel.Run"/>.</summary>
    public static void Run<THead, TPipeline, TTokens>(KvView cache, ArrayView<float> q, ArrayView<float> y, ArrayView<float> partials, ArrayView<float> sums, ArrayView<int> arrivals, AttentionArgs args)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
        where TTokens : struct, ITokenSource
    {
        var memory = SharedMemory.GetDynamic<U4>();
        int row = Grid.IdxZ, set = Grid.IdxY;
        var range = TTokens.Range(cache, args, row, set);
        int tiles = SplitPlace.Tiles(range), splits = SplitPlace.Count(tiles, args);
        if (Grid.IdxX < splits)
        {
            var place = SplitPlace.Of(range, args, tiles, splits);
            Attend<THead, TPipeline, TTokens>(memory, cache, q, args, range, set, place);
            SplitMerge.Group<THead, TPipeline>(memory.Cast<float>(), y, partials, sums, args, place);
            if (splits > 1) SplitMerge.Last<THead, TPipeline>(memory, y, partials, sums, arrivals, args, place);
        }
    }

    private static void Attend<THead, TPipeline, TTokens>(ArrayView<U4> ring, KvView cache, ArrayView<float> q, AttentionArgs args, KeyRange range, int set, SplitPlace place)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
        where TTokens : struct, ITokenSource
    {
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5;
        int tileUnits = TileTokens * Stride(THead.Channels), stage = 2 * tileUnits + ScaleUnits;
        int ringStart = warp * TPipeline.Stages * stage;

        // one tile's rows are located while the tile before is being asked for
        int count = (place.End - place.Begin - warp + (1 << TPipeline.WarpShift) - 1) >> TPipeline.WarpShift;
        int tile = place.Begin + warp, ahead = tile;
        int last = range.End - 1;
        int offset = 0, position = 0;
        if (count > 0)
        {
            offset = TensorDecodeKernel.Locate(cache, args, place.Row, place.KvHead, TensorDecodeKernel.Entry<TTokens>(cache, args, place.Row, set, ahead, lane, last));
            position = TensorDecodeKernel.Entry<TTokens>(cache, args, place.Row, set, ahead + (1 << TPipeline.WarpShift), lane, last);
        }
        for (int s = 0; s < TPipeline.Stages; s++)
        {
            if (s < count)
            {
                Ask<THead, TTokens>(cache, ring, ringStart + s * stage, offset, ahead, range, lane);
                ahead += 1 << TPipeline.WarpShift;
                offset = TensorDecodeKernel.Locate(cache, args, place.Row, place.KvHead, position);
                position = TensorDecodeKernel.Entry<TTokens>(cache, args, place.Row, set, ahead + (1 << TPipeline.WarpShift), lane, last);
            }
            TensorOps.Commit();
        }

        int steps = (THead.Channels + 31) >> 5; // of 32 channels
        var query = new U2[2 * steps];
        var queryRest = new U2[2 * steps];
        LoadQuery<THead>(q, args, place, lane, query, queryRest);

        var output = new F4[2 * steps];
        float max0 = Nothing, max1 = Nothing, sum0 = 0f, sum1 = 0f;
        uint unit = LeastScale;
        int slot = 0;
        for (int i = 0; i < count; i++)
        {
            TensorOps.WaitGroup(TPipeline.Stages - 1);
            TensorOps.WarpSync();
            int at = ringStart + slot * stage, rows = (lane & 15) * Stride(THead.Channels) + (lane >> 4);
            var scales = ring.Cast<float>();
            int scale = (at + 2 * tileUnits) * 4 + (lane >> 2);

            // Sᵀ: this lane has tokens g and g + 8 for query columns 2t and 2t + 1
            F4 s = default, rest = default;
            for (int k = 0; k < steps; k++)
            {
                var bytes = TensorOps.LoadMatrix(ref ring[at + rows + 2 * k]);
                uint x = ByteOps.Biased(bytes.X), y = ByteOps.Biased(bytes.Y), z = ByteOps.Biased(bytes.Z), w = ByteOps.Biased(bytes.W);
                U4 keys;
                keys.X = ByteOps.LowHalves(x);
                keys.Y = ByteOps.LowHalves(y);
                keys.Z = ByteOps.HighHalves(x);
                keys.W = ByteOps.HighHalves(y);
                s = TensorOps.MultiplyHalf(keys, query[2 * k], s);
                rest = TensorOps.MultiplyHalf(keys, queryRest[2 * k], rest);
                keys.X = ByteOps.LowHalves(z);
                keys.Y = ByteOps.LowHalves(w);
                keys.Z = ByteOps.HighHalves(z);
                keys.W = ByteOps.HighHalves(w);
                s = TensorOps.MultiplyHalf(keys, query[2 * k + 1], s);
                rest = TensorOps.MultiplyHalf(keys, queryRest[2 * k + 1], rest);
            }
            int entry = (tile << 4) + (lane >> 2);
            float mask0 = TensorDecodeKernel.Mask(range, entry), mask1 = TensorDecodeKernel.Mask(range, entry + 8);
            float k0 = scales[scale], k1 = scales[scale + 8];
            float s00 = (s.X + rest.X) * k0 + mask0, s01 = (s.Y + rest.Y) * k0 + mask0;
            float s10 = (s.Z + rest.Z) * k1 + mask1, s11 = (s.W + rest.W) * k1 + mask1;

            float next0 = IntrinsicMath.Max(max0, TensorDecodeKernel.TokenMax(IntrinsicMath.Max(s00, s10)));
            float next1 = IntrinsicMath.Max(max1, TensorDecodeKernel.TokenMax(IntrinsicMath.Max(s01, s11)));
            float decay0 = TensorOps.Exp2(max0 - next0), decay1 = TensorOps.Exp2(max1 - next1);
            max0 = next0;
            max1 = next1;
            float p00 = TensorOps.Exp2(s00 - max0), p01 = TensorOps.Exp2(s01 - max1);
            float p10 = TensorOps.Exp2(s10 - max0), p11 = TensorOps.Exp2(s11 - max1);
            sum0 = sum0 * decay0 + (p00 + p10);
            sum1 = sum1 * decay1 + (p01 + p11);

            // outputs are in units of a power of two no smaller than half of any scale of V so far
            float v0 = scales[scale + TileTokens], v1 = scales[scale + TileTokens + 8];
            uint nextUnit = IntrinsicMath.Max(unit, Interop.FloatAsInt(TensorDecodeKernel.TokenMax(IntrinsicMath.Max(v0, v1))) & 0x7f800000u);
            float inverse = Interop.IntAsFloat((254u << 23) - nextUnit), change = Interop.IntAsFloat(unit) * inverse;
            unit = nextUnit;
            decay0 *= change;
            decay1 *= change;
            v0 *= inverse;
            v1 *= inverse;
            p00 *= v0;
            p01 *= v0;
            p10 *= v1;
            p11 *= v1;

            // transposed, the pairs of query columns become pairs of tokens: the operand of the product with V
            uint upper = TensorOps.PackHalf(p00, p01), lower = TensorOps.PackHalf(p10, p11);
            U2 weights, weightsRest;
            weights.X = TensorOps.Transpose(upper);
            weights.Y = TensorOps.Transpose(lower);
            weightsRest.X = TensorOps.Transpose(TensorOps.PackHalf(p00 - TensorF16.Low(upper), p01 - TensorF16.High(upper)));
            weightsRest.Y = TensorOps.Transpose(TensorOps.PackHalf(p10 - TensorF16.Low(lower), p11 - TensorF16.High(lower)));
            for (int k = 0; k < steps; k++)
            {
                var bytes = TensorOps.LoadMatrixTransposed(ref ring[at + tileUnits + rows + 2 * k]);
                uint x = ByteOps.Biased(bytes.X), y = ByteOps.Biased(bytes.Y), z = ByteOps.Biased(bytes.Z), w = ByteOps.Biased(bytes.W);
                output[2 * k] = Weigh(x, y, weights, weightsRest, output[2 * k], decay0, decay1);
                output[2 * k + 1] = Weigh(z, w, weights, weightsRest, output[2 * k + 1], decay0, decay1);
            }
            TensorOps.WarpSync();

            if (i + TPipeline.Stages < count)
            {
                Ask<THead, TTokens>(cache, ring, at, offset, ahead, range, lane);
                ahead += 1 << TPipeline.WarpShift;
                offset = TensorDecodeKernel.Locate(cache, args, place.Row, place.KvHead, position);
                position = TensorDecodeKernel.Entry<TTokens>(cache, args, place.Row, set, ahead + (1 << TPipeline.WarpShift), lane, last);
            }
            TensorOps.Commit();
            tile += 1 << TPipeline.WarpShift;
            slot = slot + 1 == TPipeline.Stages ? 0 : slot + 1;
        }
        float factor = Interop.IntAsFloat(unit);
        for (int k = 0; k < 2 * steps; k++)
        {
            var o = output[k];
            o.X *= factor;
            o.Y *= factor;
            o.Z *= factor;
            o.W *= factor;
            output[k] = o;
        }

        // the ring is free once every warp is here
        TensorOps.WaitGroup(0);
        Group.Barrier();
        WarpResult.StorePairs<THead, TPipeline>(ring.Cast<float>(), output, max0, max1, TensorDecodeKernel.TokenSum(sum0), TensorDecodeKernel.TokenSum(sum1), place.Slots);
        Group.Barrier();
    }

    // Sixteen channels of V times the weights, onto what is there: rows of the operand are even channels, then odd ones.
    private static F4 Weigh(uint upper, uint lower, U2 weights, U2 weightsRest, F4 o, float decay0, float decay1)
    {
        U4 channels;
        channels.X = ByteOps.EvenHalves(upper);
        channels.Y = ByteOps.OddHalves(upper);
        channels.Z = ByteOps.EvenHalves(lower);
        channels.W = ByteOps.OddHalves(lower);
        o.X *= decay0;
        o.Y *= decay1;
        o.Z *= decay0;
        o.W *= decay1;
        o = TensorOps.MultiplyHalf(channels, weights, o);
        return TensorOps.MultiplyHalf(channels, weightsRest, o);
    }

    // Starts the copies of a tile.
    private static void Ask<THead, TTokens>(KvView cache, ArrayView<U4> ring, int at, int offset, int tile, KeyRange range, int lane)
        where THead : struct, IHeadSize
        where TTokens : struct, ITokenSource
    {
        var k = cache.K.Cast<U4>();
        var v = cache.V.Cast<U4>();
        int units = THead.Channels >> 4, tileUnits = TileTokens * Stride(THead.Channels); // of a row; a tile has 16 rows
        for (int j = 0; j < (units + 1) >> 1; j++)
        {
            // an odd number of units leaves half of the lanes idle in the end
            int unit = IntrinsicMath.Min(lane + 32 * j, TileTokens * units - 1);
            int row = unit / units, column = unit - row * units;
            long source = TTokens.Contiguous ? (long)offset * units + unit : (long)Warp.Shuffle(offset, row) * units + column;
            int target = at + row * Stride(THead.Channels) + column;
            int bytes = 16 & ~TensorDecodeKernel.Outside(range, (tile << 4) + row);
            TensorOps.CopyAsync(ref ring[target], ref k[source], bytes);
            TensorOps.CopyAsync(ref ring[target + tileUnits], ref v[source], bytes);
        }
        // K's scales by the first 16 lanes, V's by the others
        int token = lane & 15, scaleBytes = 4 & ~TensorDecodeKernel.Outside(range, (tile << 4) + token);
        long scaleSource = TTokens.Contiguous ? offset + token : offset;
        var scales = ring.Cast<float>();
        int scaleTarget = (at + 2 * tileUnits) * 4 + lane;
        if (lane < 16) TensorOps.CopyAsync(ref scales[scaleTarget], ref cache.KScales[scaleSource], scaleBytes);
        else TensorOps.CopyAsync(ref scales[scaleTarget], ref cache.VScales[scaleSource], scaleBytes);
    }

    // Queries as the 16 by 8 operand: this lane has channels 4t to 4t + 3 of each 16 for query column g.
    private static void LoadQuery<THead>(ArrayView<float> q, AttentionArgs args, SplitPlace place, int lane, U2[] query, U2[] queryRest)
        where THead : struct, IHeadSize
    {
        int column = lane >> 2;
        float scale = column < place.Slots ? args.ScaleLog2 : 0f;
        long from = (long)(place.Row * args.Heads + place.FirstHead + IntrinsicMath.Min(column, place.Slots - 1)) * (THead.Channels >> 2) + (lane & 3);
        var quads = q.Cast<F4>();
        for (int k = 0; k < ((THead.Channels + 31) >> 5) * 2; k++)
        {
            F4 a = default;
            if (k < THead.Channels >> 4) a = quads[from + 4 * k];
            LoadedQueries.Split<TensorF16>(a.X * scale, a.Y * scale, a.Z * scale, a.W * scale, k, query, queryRest);
        }
    }
}
