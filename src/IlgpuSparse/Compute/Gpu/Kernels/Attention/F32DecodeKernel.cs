using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>
/// Decode attention over fp32 K and V (CUDA), dense or over selected tokens, in plain fused multiply-adds: full precision, and still bound by memory, because a token is four bytes a channel. Splits and merge are
/// <see cref="TensorDecodeKernel"/>'s.
/// </summary>
/// <remarks>A lane has four channels of every token (eight of heads of 256), loaded in 16 bytes; a warp has several tokens' K and V under way in registers, reads them once for all query heads of the set, and adds a token's
/// logit up over its lanes.</remarks>
internal static class F32DecodeKernel
{
    private const int TileTokens = TensorDecodeKernel.TileTokens;

    // loads of K under way a lane, and as many of V
    private const int Loads = 8;

    // what the merge of the splits needs where the warps' results take less
    private const int LeastSharedBytes = 24 * 1024;

    /// <summary>Launch choices: registers hold what is under way, so the ring's stages do not matter.</summary>
    public static DecodeTuning Tuning => new(Warps: 4, Stages: 2, Waves: 1, MinSplitTokens: 64);

    /// <summary>The variant for a head size, up to <paramref name="slots"/> query heads a set, and a token source.</summary>
    public static KernelVariant Variant(int channels, int slots, Type tokens) =>
        KernelVariant.Of(typeof(F32DecodeKernel), nameof(Run), 32 * Tuning.Warps, HeadSizes.Of(channels), Tuning.Pipeline, KernelCounts.Of(Slots(slots)), tokens) with
        {
            CudaOnly = true,
            // a long stream, and what it would lose by an uneven start of the next is more than the start costs
            HoldsNext = tokens == typeof(DenseTokens),
            // unasked, the driver saves registers for more, and spills
            MinGroups = 2,
            DynamicSharedBytes = SharedBytes(channels),
        };

    /// <summary>All variants.</summary>
    public static IEnumerable<KernelVariant> Variants =>
        from channels in HeadSizes.All
        from slots in new[] { 1, 4, TensorDecodeKernel.MaxSlots }
        from tokens in new[] { typeof(DenseTokens), typeof(SelectedTokens) }
        select Variant(channels, slots, tokens);

    /// <summary>Dynamic shared memory in bytes: the warps' results, then the splits' weights.</summary>
    public static int SharedBytes(int channels) => Math.Max(LeastSharedBytes, Tuning.Warps * TensorDecodeKernel.MaxSlots * (channels + 2) * sizeof(float));

    private static int Slots(int slots) => slots == 1 ? 1 : slots <= 4 ? 4 : TensorDecodeKernel.MaxSlots;

    /// <summary>As <see cref="TensorDecodeKernel.Run"/>.</summary>
    public static void Run<THead, TPipeline, TSlots, TTokens>(KvView cache, ArrayView<float> q, ArrayView<float> y, ArrayView<float> partials, ArrayView<float> sums, ArrayView<int> arrivals, AttentionArgs args)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
        where TSlots : struct, IKernelCount
        where TTokens : struct, ITokenSource
    {
        var memory = SharedMemory.GetDynamic<U4>();
        int row = Grid.IdxZ, set = Grid.IdxY;
        var range = TTokens.Range(cache, args, row, set);
        int tiles = SplitPlace.Tiles(range), splits = SplitPlace.Count(tiles, args);
        if (Grid.IdxX < splits)
        {
            var place = SplitPlace.Of(range, args, tiles, splits);
            Attend<THead, TPipeline, TSlots, TTokens>(memory.Cast<float>(), cache, q, args, range, set, place);
            SplitMerge.Group<THead, TPipeline>(memory.Cast<float>(), y, partials, sums, args, place);
            if (splits > 1) SplitMerge.Last<THead, TPipeline>(memory, y, partials, sums, arrivals, args, place);
        }
    }

    private static void Attend<THead, TPipeline, TSlots, TTokens>(ArrayView<float> shared, KvView cache, ArrayView<float> q, AttentionArgs args, KeyRange range, int set, SplitPlace place)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
        where TSlots : struct, IKernelCount
        where TTokens : struct, ITokenSource
    {
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5;
        int shift = THead.Channels >> 8; // log2 of the quads a lane
        int quads = THead.Channels >> 2;
        var query = new F4[TSlots.Slots << shift];
        var output = new F4[TSlots.Slots << shift];
        var max = new float[TSlots.Slots];
        var sum = new float[TSlots.Slots];
        var all = q.Cast<F4>();
        for (int i = 0; i < TSlots.Slots << shift; i++)
        {
            int slot = i >> shift, quad = lane + 32 * (i - (slot << shift));
            // heads past the set's last repeat it; lanes past the last channel have zeros
            var x = all[(long)(place.Row * args.Heads + place.FirstHead + IntrinsicMath.Min(slot, place.Slots - 1)) * quads + IntrinsicMath.Min(quad, quads - 1)];
            float scale = quad < quads ? args.ScaleLog2 : 0f;
            x.X *= scale;
            x.Y *= scale;
            x.Z *= scale;
            x.W *= scale;
            query[i] = x;
            output[i] = default;
        }
        for (int s = 0; s < TSlots.Slots; s++)
        {
            max[s] = float.NegativeInfinity;
            sum[s] = 0f;
        }

        var keys = new F4[Loads];
        var values = new F4[Loads];
        var weights = new float[Loads];
        var k = cache.K.Cast<F4>();
        var v = cache.V.Cast<F4>();
        int last = range.End - 1;
        for (int tile = place.Begin + warp; tile < place.End; tile += 1 << TPipeline.WarpShift)
        {
            int offset = TensorDecodeKernel.Locate(cache, args, place.Row, place.KvHead, TensorDecodeKernel.Entry<TTokens>(cache, args, place.Row, set, tile, lane, last));
            for (int start = tile << 4; start < (tile + 1) << 4; start += Loads >> shift)
            {
                for (int i = 0; i < Loads; i++)
                {
                    // what is outside stands still at the nearest token inside
                    int token = i >> shift, entry = IntrinsicMath.Max(range.First, IntrinsicMath.Min(start + token, last)) & (TileTokens - 1);
                    int quad = IntrinsicMath.Min(lane + 32 * (i - (token << shift)), quads - 1);
                    long at = (long)(TTokens.Contiguous ? offset + entry : Warp.Shuffle(offset, entry)) * quads + quad;
                    keys[i] = k[at];
                    values[i] = v[at];
                }
                for (int s = 0; s < TSlots.Slots; s++)
                {
                    if (s < TSlots.Value)
                    {
                        float largest = max[s];
                        for (int i = 0; i < Loads >> shift; i++)
                        {
                            float logit = Dot(query[s << shift], keys[i << shift]);
                            if (shift != 0) logit += Dot(query[(s << shift) + shift], keys[(i << shift) + shift]);
                            for (int step = 0; step < 5; step++) logit += Warp.ShuffleXor(logit, 1 << step);
                            weights[i] = logit + TensorDecodeKernel.Mask(range, start + i);
                            largest = IntrinsicMath.Max(largest, weights[i]);
                        }
                        // nothing but masked tokens so far: any finite maximum will do
                        float reference = IntrinsicMath.Max(largest, -3e38f), decay = TensorOps.Exp2(max[s] - reference);
                        max[s] = largest;
                        float total = sum[s] * decay;
                        for (int i = 0; i < Loads >> shift; i++)
                        {
                            weights[i] = TensorOps.Exp2(weights[i] - reference);
                            total += weights[i];
                        }
                        sum[s] = total;
                        output[s << shift] = Weigh(output[s << shift], decay, weights, values, shift, 0);
                        if (shift != 0) output[(s << shift) + shift] = Weigh(output[(s << shift) + shift], decay, weights, values, shift, shift);
                    }
                }
            }
        }

        var results = shared.Cast<F4>();
        for (int i = 0; i < TSlots.Slots << shift; i++)
        {
            int slot = i >> shift, quad = lane + 32 * (i - (slot << shift));
            if (slot < place.Slots && quad < quads) results[(warp * TensorDecodeKernel.MaxSlots + slot) * quads + quad] = output[i];
        }
        if (lane == 0)
        {
            for (int s = 0; s < TSlots.Slots; s++)
            {
                int at = WarpResult.Sums<THead, TPipeline>(warp, s);
                shared[at] = max[s];
                shared[at + 1] = sum[s];
            }
        }
        Group.Barrier();
    }

    private static F4 Weigh(F4 o, float decay, float[] weights, F4[] values, int shift, int first)
    {
        o.X *= decay;
        o.Y *= decay;
        o.Z *= decay;
        o.W *= decay;
        for (int i = 0; i < Loads >> shift; i++)
        {
            var x = values[(i << shift) + first];
            o.X += weights[i] * x.X;
            o.Y += weights[i] * x.Y;
            o.Z += weights[i] * x.Z;
            o.W += weights[i] * x.W;
        }
        return o;
    }

    private static float Dot(F4 a, F4 b) => a.X * b.X + a.Y * b.Y + (a.Z * b.Z + a.W * b.W);
}
