using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Writes K and V of new tokens into the cache: one group a row, kv head and operand.</summary>
internal static class AppendKvKernel
{
    public const int GroupSize = 64;

    public static KernelVariant Variant(Type codec) => KernelVariant.Of(typeof(AppendKvKernel), nameof(Run), GroupSize, codec);

    public static IEnumerable<KernelVariant> Variants => new[] { typeof(F32Kv), typeof(F16Kv), typeof(BF16Kv), typeof(Int8Kv) }.Select(Variant);

    /// <summary>Grid (kv heads, rows, 2): K, then V. <paramref name="tableStep"/> is 0 when all rows share the first row of the block table.</summary>
    public static void Run<TCodec>(KvView cache, ArrayView<float> k, ArrayView<float> v, AttentionArgs args, int tableStep)
        where TCodec : struct, IKvCodec
    {
        var largest = SharedMemory.Allocate<float>(GroupSize);
        int kvHead = Grid.IdxX, row = Grid.IdxY, thread = Group.IdxX;
        var source = Grid.IdxZ == 0 ? k : v;
        var target = Grid.IdxZ == 0 ? cache.K : cache.V;
        long from = (long)(row * args.KvHeads + kvHead) * args.HeadDim;
        int position = cache.Positions[row];
        int block = cache.Blocks[row * tableStep + (position >> KvLayer.BlockShift)];
        long at = ((long)(block * args.KvHeads + kvHead) << KvLayer.BlockShift) + (position & (KvLayer.BlockTokens - 1));
        float inverse = 0f;
        if (TCodec.Scaled)
        {
            float max = 0f;
            for (int c = thread; c < args.HeadDim; c += Group.DimX) max = IntrinsicMath.Max(max, IntrinsicMath.Abs(source[from + c]));
            largest[thread] = max;
            Group.Barrier();
            for (int i = 0; i < Group.DimX; i++) max = IntrinsicMath.Max(max, largest[i]);
            float scale = max / 127f;
            inverse = scale > 0f ? 1f / scale : 0f;
            var scales = Grid.IdxZ == 0 ? cache.KScales : cache.VScales;
            if (thread == 0) scales[at] = scale;
        }
        int words = args.HeadDim >> TCodec.Shift;
        for (int word = thread; word < words; word += Group.DimX) target[at * words + word] = TCodec.Encode(source, from + (word << TCodec.Shift), inverse);
    }
}
