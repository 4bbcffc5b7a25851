using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>
/// Causal attention of a prefill chunk on tensor cores (CUDA): a group has a tile of rows of one query head, 16 rows a warp, and goes through the tokens that they see a tile at a time, with a
/// running maximum and sum in fp32. K and V of the next tile are copied (<c>cp.async</c>) while this one is multiplied.
/// </summary>
/// <remarks>
/// A tile's logits S = Q·Kᵀ lie in the registers in just the layout in which the weights are an operand of O += P·V. Tiles of tokens that none of a warp's rows sees are left out; groups with
/// long rows come first, so that the short ones fill the gaps at the end.
/// </remarks>
internal static class TensorPrefillKernel
{
    private const int Stages = 2;

    // below every logit, but finite: a row may see nothing of its first tiles
    private const float Nothing = -3e38f;

    public static KernelVariant Variant(Type element, int channels, Type tile, Type rest, int warps, int sharedBytes) =>
        KernelVariant.Of(typeof(TensorPrefillKernel), nameof(Run), 32 * warps, element, HeadSizes.Of(channels), tile, rest) with { CudaOnly = true, DynamicSharedBytes = sharedBytes };

    public static IEnumerable<KernelVariant> Variants =>
        from element in TensorElements.All
        from channels in HeadSizes.All
        from rest in new[] { typeof(RestDropped), typeof(RestKept) }
        select PrefillTile.For(channels, rest == typeof(RestKept), 32 * 8, TensorDecodeKernel.HopperSharedBytes)!.Variant(element, channels, rest);

    /// <summary>Grid (row tiles · query heads).</summary>
    public static void Run<TElement, THead, TTile, TRest>(KvView cache, ArrayView<float> q, ArrayView<float> y, AttentionArgs args)
        where TElement : struct, ITensorElement
        where THead : struct, IHeadSize
        where TTile : struct, IPrefillTile
        where TRest : struct, IOperandRest
    {
        var memory = SharedMemory.GetDynamic<U4>();
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5, column = 2 * (lane & 3);
        int rank = Grid.IdxX / args.Heads, head = Grid.IdxX - rank * args.Heads, kvHead = head / args.GroupSize;
        int rowTiles = (args.Rows + (16 << TTile.WarpShift) - 1) >> (4 + TTile.WarpShift);
        int groupRow = (rowTiles - 1 - rank) << (4 + TTile.WarpShift), warpRow = groupRow + 16 * warp;
        int start = cache.Positions[0];
        int end = start + IntrinsicMath.Min(groupRow + (16 << TTile.WarpShift), args.Rows);
        int firstTile = First(args, start + groupRow) >> TTile.TokenShift, endTile = (end + (1 << TTile.TokenShift) - 1) >> TTile.TokenShift;
        // positions of this lane's two rows, and the first and last tokens that the warp sees
        int position0 = start + warpRow + (lane >> 2), position1 = position0 + 8;
        int first0 = First(args, position0), first1 = First(args, position1);
        int warpFirst = First(args, start + warpRow), warpEnd = warpRow < args.Rows ? start + warpRow + 16 : 0;

        int block = cache.Blocks[(firstTile << TTile.TokenShift) >> KvLayer.BlockShift];
        Ask<THead, TTile>(cache, args, memory, 0, firstTile, block, kvHead, end);
        TensorOps.Commit();
        block = cache.Blocks[(IntrinsicMath.Min(firstTile + 1, endTile - 1) << TTile.TokenShift) >> KvLayer.BlockShift];

        var query = new U4[THead.Channels >> 4];
        int queryAt = Stages * StageUnits(THead.Channels, 1 << TTile.TokenShift) + warp * (THead.Channels >> 4) * 32 + lane;
        PrefillQuery.Load<TElement, THead, TTile, TRest>(memory, queryAt, q, args, warpRow + (lane >> 2), head, column, query);

        var output = new F4[THead.Channels >> 3];
        var s = new F4[(1 << TTile.TokenShift) >> 3];
        float max0 = Nothing, max1 = Nothing, sum0 = 0f, sum1 = 0f;
        int slot = 0;
        int keyAt = ((lane & 7) + ((lane >> 4) << 3)) * RowBytes(THead.Channels) + (((lane >> 3) & 1) << 4);
        int valueAt = (StageUnits(THead.Channels, 1 << TTile.TokenShift) << 3) + ((lane & 7) + (((lane >> 3) & 1) << 3)) * RowBytes(THead.Channels) + ((lane >> 4) << 4);
        for (int tile = firstTile; tile < endTile; tile++)
        {
            // this tile is there, and the other slot has been read by all
            TensorOps.WaitGroup(0);
            Group.Barrier();
            int at = slot * (StageUnits(THead.Channels, 1 << TTile.TokenShift) << 4);
            slot ^= 1;
            if (tile + 1 < endTile) Ask<THead, TTile>(cache, args, memory, slot * StageUnits(THead.Channels, 1 << TTile.TokenShift), tile + 1, block, kvHead, end);
            TensorOps.Commit();
            block = cache.Blocks[(IntrinsicMath.Min(tile + 2, endTile - 1) << TTile.TokenShift) >> KvLayer.BlockShift];

            int token = tile << TTile.TokenShift;
            if (token < warpEnd && token + (1 << TTile.TokenShift) > warpFirst)
            {
                Logits<TElement, THead, TTile, TRest>(memory, at + keyAt, query, queryAt, s);
                if (token + (1 << TTile.TokenShift) > start + warpRow + 1 || (args.Window > 0 && token < First(args, start + warpRow + 15)))
                {
                    for (int j = 0; j < (1 << TTile.TokenShift) >> 3; j++)
                    {
                        int t = token + 8 * j + column;
                        var logits = s[j];
                        logits.X += Mask(t, first0, position0);
                        logits.Y += Mask(t + 1, first0, position0);
                        logits.Z += Mask(t, first1, position1);
                        logits.W += Mask(t + 1, first1, position1);
                        s[j] = logits;
                    }
                }

                float next0 = max0, next1 = max1;
                for (int j = 0; j < (1 << TTile.TokenShift) >> 3; j++)
                {
                    next0 = IntrinsicMath.Max(next0, IntrinsicMath.Max(s[j].X, s[j].Y));
                    next1 = IntrinsicMath.Max(next1, IntrinsicMath.Max(s[j].Z, s[j].W));
                }
                next0 = PairMax(next0);
                next1 = PairMax(next1);
                float decay0 = TensorOps.Exp2(max0 - next0), decay1 = TensorOps.Exp2(max1 - next1);
                max0 = next0;
                max1 = next1;
                sum0 *= decay0;
                sum1 *= decay1;
                for (int j = 0; j < (1 << TTile.TokenShift) >> 3; j++)
                {
                    var logits = s[j];
                    F4 weights;
                    weights.X = TensorOps.Exp2(logits.X - max0);
                    weights.Y = TensorOps.Exp2(logits.Y - max0);
                    weights.Z = TensorOps.Exp2(logits.Z - max1);
                    weights.W = TensorOps.Exp2(logits.W - max1);
                    sum0 += weights.X + weights.Y;
                    sum1 += weights.Z + weights.W;
                    s[j] = weights;
                }
                for (int c = 0; c < THead.Channels >> 3; c++)
                {
                    var o = output[c];
                    o.X *= decay0;
                    o.Y *= decay0;
                    o.Z *= decay1;
                    o.W *= decay1;
                    output[c] = o;
                }
                Values<TElement, THead, TTile, TRest>(memory, at + valueAt, s, output);
            }
        }
        Store<THead>(y, args, output, warpRow + (lane >> 2), head, column, PairSum(sum0), PairSum(sum1));
    }

    /// <summary>16-byte units of a tile of K and one of V.</summary>
    public static int StageUnits(int channels, int tokens) => 2 * tokens * TensorDecodeKernel.Stride(channels);

    /// <summary>Dynamic shared memory in bytes: the tiles, and the queries where they do not stay in registers.</summary>
    public static int SharedBytes(int channels, int warps, int tokens, bool rest) =>
        16 * (Stages * StageUnits(channels, tokens) + PrefillQuery.SharedUnits(channels, warps, rest));

    private static int RowBytes(int channels) => TensorDecodeKernel.Stride(channels) << 4;

    // The first token that the row at a position sees; a window of 0 reaches back to the start.
    private static int First(AttentionArgs args, int position) => args.Window > 0 ? IntrinsicMath.Max(0, position - args.Window + 1) : 0;

    // What to add to a logit: minus infinity for a token that the row does not see. Without branches, which ILGPU would make of a condition.
    private static float Mask(int token, int first, int position) => Interop.IntAsFloat((uint)(((token - first) | (position - token)) >> 31) & 0xff800000u);

    // Over the lanes that hold the same rows.
    private static float PairMax(float value)
    {
        value = IntrinsicMath.Max(value, Warp.ShuffleXor(value, 1));
        return IntrinsicMath.Max(value, Warp.ShuffleXor(value, 2));
    }

    private static float PairSum(float value)
    {
        value += Warp.ShuffleXor(value, 1);
        return value + Warp.ShuffleXor(value, 2);
    }

    // Starts the copies of a tile of K and V, which lies in one block; zeros for tokens past the end, where the cache may hold anything.
    private static void Ask<THead, TTile>(KvView cache, AttentionArgs args, ArrayView<U4> memory, int at, int tile, int block, int kvHead, int end)
        where THead : struct, IHeadSize
        where TTile : struct, IPrefillTile
    {
        var k = cache.K.Cast<U4>();
        var v = cache.V.Cast<U4>();
        int units = THead.Channels >> 3, token = tile << TTile.TokenShift;
        long source = (((long)(block * args.KvHeads + kvHead) << KvLayer.BlockShift) + (token & (KvLayer.BlockTokens - 1))) * units;
        int total = units << TTile.TokenShift;
        // copies a thread: two at least, so that the loop is unrolled; threads beyond the last unit repeat it
        for (int i = 0; i < IntrinsicMath.Max(2, (total + (32 << TTile.WarpShift) - 1) >> (5 + TTile.WarpShift)); i++)
        {
            int unit = IntrinsicMath.Min(Group.IdxX + (i << (5 + TTile.WarpShift)), total - 1), row = unit / units;
            int target = (at + row * TensorDecodeKernel.Stride(THead.Channels) + unit - row * units) << 4;
            int bytes = 16 & ((token + row - end) >> 31);
            TensorOps.CopyAsync(ref memory[0], target, ref k[source + unit], bytes);
            TensorOps.CopyAsync(ref memory[0], target + (StageUnits(THead.Channels, 1 << TTile.TokenShift) << 3), ref v[source + unit], bytes);
        }
    }

    // S = Q·Kᵀ: this lane has tokens 2t and 2t + 1 of each 8 for rows g and g + 8.
    private static void Logits<TElement, THead, TTile, TRest>(ArrayView<U4> memory, int keyAt, U4[] query, int queryAt, F4[] s)
        where TElement : struct, ITensorElement
        where THead : struct, IHeadSize
        where TTile : struct, IPrefillTile
        where TRest : struct, IOperandRest
    {
        for (int j = 0; j < (1 << TTile.TokenShift) >> 3; j++) s[j] = default;
        for (int k = 0; k < THead.Channels >> 4; k++)
        {
            var a = PrefillQuery.Rounded<THead, TRest>(memory, queryAt, query, k);
            U4 rest = default;
            if (TRest.Kept) rest = PrefillQuery.Rest<THead, TTile>(memory, queryAt, k);
            for (int j = 0; j < (1 << TTile.TokenShift) >> 4; j++)
            {
                var keys = TensorOps.LoadMatrix(ref memory[0], keyAt + 16 * j * RowBytes(THead.Channels) + 32 * k);
                U2 low, high;
                low.X = keys.X;
                low.Y = keys.Y;
                high.X = keys.Z;
                high.Y = keys.W;
                s[2 * j] = TElement.Multiply(a, low, s[2 * j]);
                s[2 * j + 1] = TElement.Multiply(a, high, s[2 * j + 1]);
                if (TRest.Kept)
                {
                    s[2 * j] = TElement.Multiply(rest, low, s[2 * j]);
                    s[2 * j + 1] = TElement.Multiply(rest, high, s[2 * j + 1]);
                }
            }
        }
    }

    // O += P·V: the weights of 16 tokens as they lie are the 16 by 16 operand.
    private static void Values<TElement, THead, TTile, TRest>(ArrayView<U4> memory, int valueAt, F4[] weights, F4[] output)
        where TElement : struct, ITensorElement
        where THead : struct, IHeadSize
        where TTile : struct, IPrefillTile
        where TRest : struct, IOperandRest
    {
        for (int j = 0; j < (1 << TTile.TokenShift) >> 4; j++)
        {
            F4 left = weights[2 * j], right = weights[2 * j + 1];
            U4 a, rest = default;
            a.X = TElement.Pack(left.X, left.Y);
            a.Y = TElement.Pack(left.Z, left.W);
            a.Z = TElement.Pack(right.X, right.Y);
            a.W = TElement.Pack(right.Z, right.W);
            if (TRest.Kept)
            {
                rest.X = TElement.Pack(left.X - TElement.Low(a.X), left.Y - TElement.High(a.X));
                rest.Y = TElement.Pack(left.Z - TElement.Low(a.Y), left.W - TElement.High(a.Y));
                rest.Z = TElement.Pack(right.X - TElement.Low(a.Z), right.Y - TElement.High(a.Z));
                rest.W = TElement.Pack(right.Z - TElement.Low(a.W), right.W - TElement.High(a.W));
            }
            for (int c = 0; c < THead.Channels >> 4; c++)
            {
                var values = TensorOps.LoadMatrixTransposed(ref memory[0], valueAt + 16 * j * RowBytes(THead.Channels) + 32 * c);
                U2 low, high;
                low.X = values.X;
                low.Y = values.Y;
                high.X = values.Z;
                high.Y = values.W;
                output[2 * c] = TElement.Multiply(a, low, output[2 * c]);
                output[2 * c + 1] = TElement.Multiply(a, high, output[2 * c + 1]);
                if (TRest.Kept)
                {
                    output[2 * c] = TElement.Multiply(rest, low, output[2 * c]);
                    output[2 * c + 1] = TElement.Multiply(rest, high, output[2 * c + 1]);
                }
            }
        }
    }

    private static void Store<THead>(ArrayView<float> y, AttentionArgs args, F4[] output, int row, int head, int column, float sum0, float sum1)
        where THead : struct, IHeadSize
    {
        var pairs = y.Cast<F2>();
        float inverse0 = 1f / sum0, inverse1 = 1f / sum1;
        long to0 = ((long)row * args.Heads + head) * (THead.Channels >> 1) + (column >> 1), to1 = to0 + (long)4 * args.Heads * THead.Channels;
        for (int c = 0; c < THead.Channels >> 3; c++)
        {
            var o = output[c];
            F2 upper, lower;
            upper.X = o.X * inverse0;
            upper.Y = o.Y * inverse0;
            lower.X = o.Z * inverse1;
            lower.Y = o.W * inverse1;
            if (row < args.Rows) pairs[to0 + 4 * c] = upper;
            if (row + 8 < args.Rows) pairs[to1 + 4 * c] = lower;
        }
    }
}
