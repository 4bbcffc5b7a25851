using ILGPU;
using IlgpuSparse.Calibration;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>What <see cref="ChannelStatistics"/> sums, over parts of a few hundred tokens at most: short enough for single precision, and few enough to be added up on the host in double precision.</summary>
internal static class ChannelSumKernel
{
    public const int GroupSize = 128;

    private const int RunRows = 16;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize);

    /// <summary>Grid (kv heads, parts), a thread a channel. <paramref name="q"/> <c>[row, head, channel]</c>, <paramref name="k"/> <c>[row, kvHead, channel]</c>, <paramref name="parts"/> <c>[part, sum, kvHead, channel]</c> of <paramref name="partRows"/> rows each, the first of <paramref name="before"/> fewer.</summary>
    public static void Run(ArrayView<float> q, ArrayView<float> k, ArrayView<float> parts, int rows, int partRows, int before, int kvHeads, int group, int headDim)
    {
        int head = Grid.IdxX, part = Grid.IdxY, first = IntrinsicMath.Max(part * partRows - before, 0);
        int last = IntrinsicMath.Min((part + 1) * partRows - before, rows);
        for (int c = Group.IdxX; c < headDim; c += Group.DimX)
        {
            float sum = 0f, keySquare = 0f, keyAbsolute = 0f, querySquare = 0f, queryAbsolute = 0f, product = 0f;
            // in two levels: keys may be far from zero, and their variance is a difference of sums
            for (int start = first; start < last; start += RunRows)
            {
                float runSum = 0f, runKeySquare = 0f, runKeyAbsolute = 0f, runQuerySquare = 0f, runQueryAbsolute = 0f, runProduct = 0f;
                int end = IntrinsicMath.Min(start + RunRows, last);
                for (int row = start; row < end; row++)
                {
                    long own = (long)row * kvHeads + head;
                    float key = k[own * headDim + c], magnitude = IntrinsicMath.Abs(key), absolute = 0f;
                    for (int g = 0; g < group; g++)
                    {
                        float x = q[(own * group + g) * headDim + c];
                        runQuerySquare += x * x;
                        absolute += IntrinsicMath.Abs(x);
                    }
                    runSum += key;
                    runKeySquare += key * key;
                    runKeyAbsolute += magnitude;
                    runQueryAbsolute += absolute;
                    runProduct += absolute * magnitude;
                }
                sum += runSum;
                keySquare += runKeySquare;
                keyAbsolute += runKeyAbsolute;
                querySquare += runQuerySquare;
                queryAbsolute += runQueryAbsolute;
                product += runProduct;
            }
            long at = ((long)part * ChannelStatistics.Kinds * kvHeads + head) * headDim + c, step = (long)kvHeads * headDim;
            parts[at] = sum;
            parts[at + step] = keySquare;
            parts[at + 2 * step] = keyAbsolute;
            parts[at + 3 * step] = querySquare;
            parts[at + 4 * step] = queryAbsolute;
            parts[at + 5 * step] = product;
        }
    }
}
