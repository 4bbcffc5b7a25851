using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>After <see cref="ValueSumKernel"/> of a prefill chunk: the sums of what comes before each block that begins in the chunk, one after the other.</summary>
internal static class ValuePrefixKernel
{
    public const int GroupSize = 64;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize);

    /// <summary>Grid (kv heads). <paramref name="chunk"/> tokens.</summary>
    public static void Run(KvView cache, ArrayView<float> sums, AttentionArgs args, int chunk)
    {
        int first = cache.Positions[0];
        // a thread goes on from what it has written itself
        for (int index = (first + KvLayer.BlockTokens - 1) >> KvLayer.BlockShift; index << KvLayer.BlockShift < first + chunk; index++)
            ValueSumKernel.Before(cache, sums, args, 0, index, Grid.IdxX);
    }
}
