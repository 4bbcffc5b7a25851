using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>
/// y = x · Wᵀ for few activation rows: one group a weight row and block of <c>TRows</c> activation rows, so that the weights are read once for the block. Threads stride
/// over four numbers at a time.
/// </summary>
internal static class MatVecKernel
{
    public const int GroupSize = 128;

    public static KernelVariant Variant(Type codec, Type rows, Type map) => KernelVariant.Of(typeof(MatVecKernel), nameof(Run), GroupSize, codec, rows, map) with { MinGroups = 4 };

    public static IEnumerable<KernelVariant> Variants
    {
        get
        {
            foreach (var codec in WeightCodecs.All.Select(WeightCodecs.Of))
            {
                yield return Variant(codec, typeof(OneRow), typeof(AllRows));
                yield return Variant(codec, typeof(TwoRows), typeof(AllRows));
                yield return Variant(codec, typeof(FourRows), typeof(AllRows));
                yield return Variant(codec, typeof(EightRows), typeof(AllRows));
                yield return Variant(codec, typeof(OneRow), typeof(GatherRows));
                yield return Variant(codec, typeof(OneRow), typeof(ScatterRows));
            }
        }
    }

    /// <summary>Grid (outputs, row blocks).</summary>
    public static void Run<TCodec, TRows, TMap>(ArrayView<ushort> weight, ArrayView<float> x, ArrayView<float> y, ArrayView<ushort> bias, RowList list, MatMulShape shape)
        where TCodec : struct, IWeightCodec
        where TRows : struct, IRowCount
        where TMap : struct, IRowMap
    {
        var shared = SharedMemory.Allocate<float>(TRows.Value * GroupSize);
        int output = Grid.IdxX, first = Grid.IdxY * TRows.Value, thread = Group.IdxX;
        int count = TMap.Count(list, shape.Rows);
        if (first < count)
        {
            var inputs = x.Cast<F4>();
            // rows beyond the end repeat the last one, so that the inner loop has no branch
            var from = new long[TRows.Slots];
            var sum = new float[TRows.Slots];
            for (int r = 0; r < TRows.Slots; r++)
            {
                if (r < TRows.Value) from[r] = (long)TMap.Input(list, Math.Min(first + r, count - 1)) * shape.Quads;
            }
            long weightRow = (long)output * shape.Quads;
            for (int quad = thread; quad < shape.Quads; quad += Group.DimX)
            {
                var w = TCodec.Quad(weight, weightRow + quad);
                for (int r = 0; r < TRows.Slots; r++)
                {
                    if (r < TRows.Value)
                    {
                        var v = inputs[from[r] + quad];
                        sum[r] += w.X * v.X + w.Y * v.Y + (w.Z * v.Z + w.W * v.W);
                    }
                }
            }
            for (int r = 0; r < TRows.Slots; r++)
            {
                if (r < TRows.Value) shared[r * GroupSize + thread] = sum[r];
            }
            Group.Barrier();
            GroupSums.Fold(shared, TRows.Value, GroupSize);
            if (thread < TRows.Value && first + thread < count)
            {
                int row = first + thread;
                float product = GroupSums.Total(shared, thread * GroupSize) + MatMulEpilogue.Bias(bias, shape, output);
                MatMulEpilogue.Store(y, (long)TMap.Output(list, row) * shape.Outputs + output, shape, TMap.Weight(list, row) * product);
            }
        }
    }
}
