using ILGPU;
using ILGPU.Algorithms;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>
/// Attention for any accelerator, format and head size: shared memory alone, groups of any size. Decode over one split, dense or selected, with a kv head's query heads as the slots of a
/// group; or causal prefill, with consecutive rows of one query head as the slots.
/// </summary>
internal static class PortableAttentionKernel
{
    public const int GroupSize = 128;

    /// <summary>Queries a group.</summary>
    public const int MaxSlots = 4;

    /// <summary>Largest head size.</summary>
    public const int MaxHeadDim = 256;

    private const int TileTokens = 16;

    public static KernelVariant Variant(Type codec, Type tokens) => KernelVariant.Of(typeof(PortableAttentionKernel), nameof(Run), GroupSize, codec, tokens);

    public static IEnumerable<KernelVariant> Variants =>
        from codec in new[] { typeof(F32Kv), typeof(F16Kv), typeof(BF16Kv), typeof(Int8Kv) }
        from tokens in new[] { typeof(DenseTokens), typeof(SelectedTokens), typeof(CausalTokens) }
        select Variant(codec, tokens);

    /// <summary>
    /// Grid (splits, sets, rows), or (1, query heads, rows / <see cref="MaxSlots"/>) for prefill. With one split <paramref name="y"/> is written, else <paramref name="partials"/> and
    /// <paramref name="sums"/> for <see cref="PortableMergeKernel"/>.
    /// </summary>
    public static void Run<TCodec, TTokens>(KvView cache, ArrayView<float> q, ArrayView<float> y, ArrayView<float> partials, ArrayView<float> sums, AttentionArgs args)
        where TCodec : struct, IKvCodec
        where TTokens : struct, ITokenSource
    {
        var queries = SharedMemory.Allocate<float>(MaxSlots * MaxHeadDim);
        var outputs = SharedMemory.Allocate<float>(MaxSlots * MaxHeadDim);
        var tile = SharedMemory.Allocate<float>(TileTokens * (MaxHeadDim + 1)); // one float of padding a row, against bank conflicts
        var weights = SharedMemory.Allocate<float>(MaxSlots * TileTokens);
        var running = SharedMemory.Allocate<float>(MaxSlots * 3); // maximum, sum, decay
        int thread = Group.IdxX, threads = Group.DimX, d = args.HeadDim;
        int row = Grid.IdxZ * TTokens.RowsPerGroup, set = Grid.IdxY;
        int kvHead = set / args.Parts, part = set - kvHead * args.Parts;
        // a prefill group has one query head and several rows, a decode group one row and several heads
        int head = TTokens.RowsPerGroup > 1 ? set : kvHead * args.GroupSize + part * args.Slots;
        int slots = TTokens.RowsPerGroup > 1 ? IntrinsicMath.Min(args.Slots, args.Rows - row) : IntrinsicMath.Min(args.Slots, args.GroupSize - part * args.Slots);
        long query = (long)row * args.Heads + head;
        int step = TTokens.RowsPerGroup > 1 ? args.Heads : 1; // from one slot's query to the next

        for (int x = thread; x < slots * d; x += threads)
        {
            int slot = x / d;
            queries[x] = q[(query + slot * step) * d + x - slot * d] * args.ScaleLog2;
            outputs[x] = 0f;
        }
        if (thread < slots)
        {
            running[3 * thread] = float.NegativeInfinity;
            running[3 * thread + 1] = 0f;
        }
        var range = TTokens.Range(cache, args, row, set);
        int length = range.End - range.First;
        int begin = range.First + (int)((long)length * Grid.IdxX / Grid.DimX), end = range.First + (int)((long)length * (Grid.IdxX + 1) / Grid.DimX);
        for (int start = begin; start < end; start += TileTokens)
        {
            Load<TCodec, TTokens>(cache.K, cache.KScales, cache, args, tile, row, set, kvHead, start, end);
            Group.Barrier();
            for (int x = thread; x < slots * TileTokens; x += threads)
            {
                int slot = x / TileTokens, token = x & (TileTokens - 1);
                float logit = 0f;
                for (int c = 0; c < d; c++) logit += queries[slot * d + c] * tile[token * (d + 1) + c];
                weights[x] = start + token < end && TTokens.Sees(cache, args, row + slot, start + token) ? logit : float.NegativeInfinity;
            }
            Group.Barrier();
            if (thread < slots) Softmax(weights, running, thread);
            Load<TCodec, TTokens>(cache.V, cache.VScales, cache, args, tile, row, set, kvHead, start, end);
            Group.Barrier();
            for (int x = thread; x < slots * d; x += threads)
            {
                int slot = x / d, channel = x - slot * d;
                float output = outputs[x] * running[3 * slot + 2];
                for (int token = 0; token < TileTokens; token++) output += weights[slot * TileTokens + token] * tile[token * (d + 1) + channel];
                outputs[x] = output;
            }
            Group.Barrier();
        }
        Group.Barrier();
        for (int x = thread; x < slots * d; x += threads)
        {
            int slot = x / d, channel = x - slot * d;
            float sum = running[3 * slot + 1];
            long to = query + slot * step;
            if (Grid.DimX == 1)
            {
                y[to * d + channel] = sum > 0f ? outputs[x] / sum : 0f;
            }
            else
            {
                long at = to * Grid.DimX + Grid.IdxX;
                partials[at * d + channel] = outputs[x];
                if (channel == 0)
                {
                    sums[2 * at] = running[3 * slot];
                    sums[2 * at + 1] = sum;
                }
            }
        }
    }

    // One slot's logits of a tile become weights against the running maximum.
    private static void Softmax(ArrayView<float> weights, ArrayView<float> running, int slot)
    {
        float before = running[3 * slot], max = before;
        for (int token = 0; token < TileTokens; token++) max = IntrinsicMath.Max(max, weights[slot * TileTokens + token]);
        float sum = 0f;
        for (int token = 0; token < TileTokens; token++)
        {
            // a slot may see nothing of the tile, nor of those before
            float weight = max > float.NegativeInfinity ? XMath.Exp2(weights[slot * TileTokens + token] - max) : 0f;
            weights[slot * TileTokens + token] = weight;
            sum += weight;
        }
        float decay = before > float.NegativeInfinity ? XMath.Exp2(before - max) : 0f;
        running[3 * slot] = max;
        running[3 * slot + 1] = running[3 * slot + 1] * decay + sum;
        running[3 * slot + 2] = decay;
    }

    // A tile of K or V as floats; zeros past the end, where the cache may hold anything.
    private static void Load<TCodec, TTokens>(ArrayView<uint> words, ArrayView<float> scales, KvView cache, AttentionArgs args, ArrayView<float> tile, int row, int set, int kvHead, int start, int end)
        where TCodec : struct, IKvCodec
        where TTokens : struct, ITokenSource
    {
        int rowWords = args.HeadDim >> TCodec.Shift;
        for (int x = Group.IdxX; x < TileTokens * rowWords; x += Group.DimX)
        {
            int token = x / rowWords, word = x - token * rowWords;
            int entry = start + token;
            uint bits = 0;
            float scale = 0f;
            if (entry < end)
            {
                int position = TTokens.Position(cache, args, row, set, entry);
                int block = cache.Blocks[(TTokens.RowsPerGroup > 1 ? 0 : row) * args.MaxBlocks + (position >> KvLayer.BlockShift)];
                long at = ((long)(block * args.KvHeads + kvHead) << KvLayer.BlockShift) + (position & (KvLayer.BlockTokens - 1));
                bits = words[at * rowWords + word];
                if (TCodec.Scaled) scale = scales[at];
            }
            TCodec.Decode(bits, scale, tile, token * (args.HeadDim + 1) + (word << TCodec.Shift));
        }
    }
}
