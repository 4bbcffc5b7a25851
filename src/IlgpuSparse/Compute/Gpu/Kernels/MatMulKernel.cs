using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>
/// y = x · Wᵀ for many activation rows: a group computes a tile of 64 rows by 32 outputs, each thread 4 by 4 of it, from slices of 32 inputs decoded into shared memory.
/// </summary>
internal static class MatMulKernel
{
    public const int GroupSize = 128;

    /// <summary>Activation rows a tile.</summary>
    public const int TileRows = 64;

    /// <summary>Outputs a tile.</summary>
    public const int TileOutputs = 32;

    private const int Depth = 32;
    // slices lie [input, row]; four floats of padding keep vectors aligned and spread the transposing stores over the banks
    private const int RowStride = TileRows + 4;
    private const int OutputStride = TileOutputs + 4;

    public static KernelVariant Variant(Type codec, Type map) => KernelVariant.Of(typeof(MatMulKernel), nameof(Run), GroupSize, codec, map);

    public static IEnumerable<KernelVariant> Variants =>
        from codec in WeightCodecs.All.Select(WeightCodecs.Of)
        from map in new[] { typeof(AllRows), typeof(GatherRows), typeof(ScatterRows) }
        select Variant(codec, map);

    /// <summary>Grid (output tiles, row tiles), exactly <see cref="GroupSize"/> threads.</summary>
    public static void Run<TCodec, TMap>(ArrayView<ushort> weight, ArrayView<float> x, ArrayView<float> y, ArrayView<ushort> bias, RowList list, MatMulShape shape)
        where TCodec : struct, IWeightCodec
        where TMap : struct, IRowMap
    {
        var xs = SharedMemory.Allocate<float>(Depth * RowStride);
        var ws = SharedMemory.Allocate<float>(Depth * OutputStride);
        int count = TMap.Count(list, shape.Rows);
        int firstOutput = Grid.IdxX * TileOutputs, firstRow = Grid.IdxY * TileRows;
        if (firstRow < count)
        {
            int thread = Group.IdxX;
            int lane = thread & 7, part = thread >> 3; // eight threads read the 32 inputs of one row; 16 rows at once
            var inputs = x.Cast<F4>();
            var from = new long[4];
            for (int i = 0; i < 4; i++) from[i] = (long)TMap.Input(list, Math.Min(firstRow + part + 16 * i, count - 1)) * shape.Quads;
            long weightRow0 = (long)Math.Min(firstOutput + part, shape.Outputs - 1) * shape.Quads;
            long weightRow1 = (long)Math.Min(firstOutput + part + 16, shape.Outputs - 1) * shape.Quads;
            var sum = new float[16];
            for (int start = 0; start < shape.Quads; start += Depth / 4)
            {
                int quad = start + lane;
                int inside = quad < shape.Quads ? 1 : 0;
                int read = Math.Min(quad, shape.Quads - 1);
                for (int i = 0; i < 4; i++) Transpose(xs, RowStride, lane, part + 16 * i, inputs[from[i] + read], inside);
                Transpose(ws, OutputStride, lane, part, TCodec.Quad(weight, weightRow0 + read), inside);
                Transpose(ws, OutputStride, lane, part + 16, TCodec.Quad(weight, weightRow1 + read), inside);
                Group.Barrier();
                Accumulate(xs.Cast<F4>(), ws.Cast<F4>(), part, lane, sum);
                Group.Barrier();
            }
            var biases = new float[4];
            for (int j = 0; j < 4; j++) biases[j] = MatMulEpilogue.Bias(bias, shape, Math.Min(firstOutput + lane * 4 + j, shape.Outputs - 1));
            for (int i = 0; i < 4; i++)
            {
                int row = firstRow + part * 4 + i;
                if (row < count)
                {
                    float factor = TMap.Weight(list, row);
                    long target = (long)TMap.Output(list, row) * shape.Outputs;
                    for (int j = 0; j < 4; j++)
                    {
                        int output = firstOutput + lane * 4 + j;
                        if (output < shape.Outputs) MatMulEpilogue.Store(y, target + output, shape, factor * (sum[i * 4 + j] + biases[j]));
                    }
                }
            }
        }
    }

    // Inputs beyond the end of a row count as zero.
    private static void Transpose(ArrayView<float> slice, int stride, int lane, int column, F4 value, int inside)
    {
        int at = lane * 4 * stride + column;
        slice[at] = inside != 0 ? value.X : 0f;
        slice[at + stride] = inside != 0 ? value.Y : 0f;
        slice[at + 2 * stride] = inside != 0 ? value.Z : 0f;
        slice[at + 3 * stride] = inside != 0 ? value.W : 0f;
    }

    private static void Accumulate(ArrayView<F4> xs, ArrayView<F4> ws, int rowQuad, int outputQuad, float[] sum)
    {
        for (int k = 0; k < Depth; k++)
        {
            var a = xs[k * (RowStride / 4) + rowQuad];
            var b = ws[k * (OutputStride / 4) + outputQuad];
            sum[0] += a.X * b.X;
            sum[1] += a.X * b.Y;
            sum[2] += a.X * b.Z;
            sum[3] += a.X * b.W;
            sum[4] += a.Y * b.X;
            sum[5] += a.Y * b.Y;
            sum[6] += a.Y * b.Z;
            sum[7] += a.Y * b.W;
            sum[8] += a.Z * b.X;
            sum[9] += a.Z * b.Y;
            sum[10] += a.Z * b.Z;
            sum[11] += a.Z * b.W;
            sum[12] += a.W * b.X;
            sum[13] += a.W * b.Y;
            sum[14] += a.W * b.Z;
            sum[15] += a.W * b.W;
        }
    }
}
