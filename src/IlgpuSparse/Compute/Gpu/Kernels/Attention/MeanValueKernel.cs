using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Mean-value correction of attention over selected tokens: <see cref="ComputeBackend.BlendMeanValue"/>.</summary>
internal static class MeanValueKernel
{
    public const int GroupSize = 64;

    public static KernelVariant Variant(Type codec) => KernelVariant.Of(typeof(MeanValueKernel), nameof(Run), GroupSize, codec);

    public static IEnumerable<KernelVariant> Variants => new[] { typeof(F32Kv), typeof(F16Kv), typeof(BF16Kv), typeof(Int8Kv) }.Select(Variant);

    /// <summary>Grid (kv heads, rows). <paramref name="shares"/> <c>[row, set]</c>; <paramref name="y"/> <c>[row, head, headDim]</c>.</summary>
    public static void Run<TCodec>(KvView cache, ArrayView<float> sums, ArrayView<float> shares, ArrayView<float> y, AttentionArgs args)
        where TCodec : struct, IKvCodec
    {
        var decoded = SharedMemory.Allocate<float>(4 * GroupSize);
        int kvHead = Grid.IdxX, row = Grid.IdxY, d = args.HeadDim, words = d >> TCodec.Shift;
        int position = cache.Positions[row], first = args.Window > 0 ? IntrinsicMath.Max(0, position - args.Window + 1) : 0;
        long last = Slot(cache, args, row, position, kvHead), begin = Slot(cache, args, row, first, kvHead);
        int between = (position >> KvLayer.BlockShift) - (first >> KvLayer.BlockShift);
        float perToken = 1f / (position + 1 - first);
        for (int c = Group.IdxX; c < d; c += Group.DimX)
        {
            // blocks next to each other need no sums of everything before, whose rounding would show in a short window
            float sum = sums[last * 2 * d + c];
            if (between == 1) sum += sums[begin * 2 * d + c];
            if (between > 1) sum += sums[last * 2 * d + d + c] - sums[begin * 2 * d + d + c];
            for (int i = 0; i < (first & (KvLayer.BlockTokens - 1)); i++)
            {
                long stored = (begin << KvLayer.BlockShift) + i;
                float scale = 1f;
                if (TCodec.Scaled) scale = cache.VScales[stored];
                TCodec.Decode(cache.V[stored * words + (c >> TCodec.Shift)], scale, decoded, 4 * Group.IdxX);
                sum -= decoded[4 * Group.IdxX + (c & ((1 << TCodec.Shift) - 1))];
            }
            float mean = sum * perToken;
            for (int slot = 0; slot < args.GroupSize; slot++)
            {
                int head = kvHead * args.GroupSize + slot;
                float share = shares[row * args.Sets + (args.Sets == args.Heads ? head : kvHead)];
                long at = ((long)row * args.Heads + head) * d + c;
                y[at] = share * y[at] + (1f - share) * mean;
            }
        }
    }

    private static long Slot(KvView cache, AttentionArgs args, int row, int position, int kvHead) =>
        (long)cache.Blocks[row * args.MaxBlocks + (position >> KvLayer.BlockShift)] * args.KvHeads + kvHead;
}
