using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Brings the sums of V of cache blocks up to date: <see cref="ValueSums"/>.</summary>
internal static class ValueSumKernel
{
    public const int GroupSize = 64;

    public static KernelVariant Variant(Type codec) => KernelVariant.Of(typeof(ValueSumKernel), nameof(Run), GroupSize, codec);

    public static IEnumerable<KernelVariant> Variants => new[] { typeof(F32Kv), typeof(F16Kv), typeof(BF16Kv), typeof(Int8Kv) }.Select(Variant);

    /// <summary>
    /// Grid (kv heads, rows) of a decode step: each row's token, and where it begins a block the sum of what came before. With <paramref name="chunk"/> tokens of a prefill chunk, grid (kv heads, blocks): each block's
    /// new tokens alone; <see cref="ValuePrefixKernel"/> follows.
    /// </summary>
    public static void Run<TCodec>(KvView cache, ArrayView<float> sums, ArrayView<int> counts, AttentionArgs args, int chunk)
        where TCodec : struct, IKvCodec
    {
        // four numbers a thread: a row's, and the sums
        var decoded = SharedMemory.Allocate<float>(4 * GroupSize);
        var totals = SharedMemory.Allocate<float>(4 * GroupSize);
        int kvHead = Grid.IdxX, d = args.HeadDim, row = chunk > 0 ? 0 : Grid.IdxY;
        int firstPosition = cache.Positions[row], lastPosition = chunk > 0 ? firstPosition + chunk - 1 : firstPosition;
        int index = (firstPosition >> KvLayer.BlockShift) + (chunk > 0 ? Grid.IdxY : 0), blockStart = index << KvLayer.BlockShift;
        if (blockStart <= lastPosition)
        {
            int added = IntrinsicMath.Max(firstPosition - blockStart, 0), last = IntrinsicMath.Min(lastPosition - blockStart, KvLayer.BlockTokens - 1);
            long slot = (long)cache.Blocks[row * args.MaxBlocks + index] * args.KvHeads + kvHead, own = slot * 2 * d;
            // a block whose count is another had tokens taken back
            int start = added > 0 && counts[slot] == added ? added : 0;
            Group.Barrier();
            if (Group.IdxX == 0) counts[slot] = last + 1;
            int words = d >> TCodec.Shift, at = Group.IdxX * 4;
            for (int word = Group.IdxX; word < words; word += Group.DimX)
            {
                long to = own + (word << TCodec.Shift);
                for (int c = 0; c < 1 << TCodec.Shift; c++) totals[at + c] = start > 0 ? sums[to + c] : 0f;
                for (int i = start; i <= last; i++)
                {
                    long stored = (slot << KvLayer.BlockShift) + i;
                    float scale = 1f;
                    if (TCodec.Scaled) scale = cache.VScales[stored];
                    TCodec.Decode(cache.V[stored * words + word], scale, decoded, at);
                    for (int c = 0; c < 1 << TCodec.Shift; c++) totals[at + c] += decoded[at + c];
                }
                for (int c = 0; c < 1 << TCodec.Shift; c++) sums[to + c] = totals[at + c];
            }
            if (chunk == 0 && added == 0) Before(cache, sums, args, row, index, kvHead);
        }
    }

    /// <summary>The sum of the tokens before block number <paramref name="index"/> of a sequence, from the block before it.</summary>
    public static void Before(KvView cache, ArrayView<float> sums, AttentionArgs args, int row, int index, int kvHead)
    {
        int d = args.HeadDim;
        long own = ((long)cache.Blocks[row * args.MaxBlocks + index] * args.KvHeads + kvHead) * 2 * d + d;
        long earlier = ((long)cache.Blocks[row * args.MaxBlocks + IntrinsicMath.Max(index - 1, 0)] * args.KvHeads + kvHead) * 2 * d;
        for (int c = Group.IdxX; c < d; c += Group.DimX)
        {
            float sum = 0f;
            if (index > 0) sum = sums[earlier + d + c] + sums[earlier + c];
            sums[own + c] = sum;
        }
    }
}
