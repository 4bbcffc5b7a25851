using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>Adds up the splits of a <see cref="TensorProductKernel"/> launch, always in the same order: one thread two outputs.</summary>
internal static class SplitSumKernel
{
    public const int GroupSize = 128;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize);

    /// <summary>y <c>[row, output]</c> (+)= Σ partials <c>[split, row, output]</c> + bias; rows of y are <paramref name="stride"/> floats apart.</summary>
    public static void Run(ArrayView<float> partials, ArrayView<float> y, ArrayView<ushort> bias, MatMulShape shape, int splits, int stride)
    {
        int i = Grid.IdxX * Group.DimX + Group.IdxX, rowPairs = shape.Outputs >> 1, pairs = shape.Rows * rowPairs;
        if (i < pairs)
        {
            var parts = partials.Cast<F2>();
            var targets = y.Cast<F2>();
            int row = i / rowPairs, pair = i - row * rowPairs;
            F2 sum;
            sum.X = MatMulEpilogue.Bias(bias, shape, 2 * pair);
            sum.Y = MatMulEpilogue.Bias(bias, shape, 2 * pair + 1);
            for (int split = 0; split < splits; split++)
            {
                var part = parts[(long)split * pairs + i];
                sum.X += part.X;
                sum.Y += part.Y;
            }
            long target = (long)row * (stride >> 1) + pair;
            if (shape.Accumulate != 0)
            {
                var before = targets[target];
                sum.X += before.X;
                sum.Y += before.Y;
            }
            targets[target] = sum;
        }
    }
}
