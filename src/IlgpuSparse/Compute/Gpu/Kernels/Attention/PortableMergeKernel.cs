using ILGPU;
using ILGPU.Algorithms;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Joins the splits of <see cref="PortableAttentionKernel"/> by log-sum-exp, one group a row and query head.</summary>
internal static class PortableMergeKernel
{
    public const int GroupSize = 64;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize);

    public static void Run(ArrayView<float> y, ArrayView<float> partials, ArrayView<float> sums, int splits, int headDim)
    {
        long first = (long)Grid.IdxX * splits;
        float max = float.NegativeInfinity;
        for (int s = 0; s < splits; s++) max = IntrinsicMath.Max(max, sums[2 * (first + s)]);
        for (int channel = Group.IdxX; channel < headDim; channel += Group.DimX)
        {
            float sum = 0f, output = 0f;
            for (int s = 0; s < splits; s++)
            {
                float part = sums[2 * (first + s) + 1];
                float factor = part > 0f ? XMath.Exp2(sums[2 * (first + s)] - max) : 0f;
                sum += factor * part;
                output += factor * partials[(first + s) * headDim + channel];
            }
            y[(long)Grid.IdxX * headDim + channel] = sum > 0f ? output / sum : 0f;
        }
    }
}
