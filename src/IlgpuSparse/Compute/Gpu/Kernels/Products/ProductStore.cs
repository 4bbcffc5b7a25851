using ILGPU;
using ILGPU.Algorithms;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>What follows the sums of a tile: scales, biases, SwiGLU, the sum with what is there. A lane has outputs 2t and 2t + 1 of rows g and g + 8 of each fragment of 16 rows by 8 outputs.</summary>
internal static class ProductStore
{
    /// <summary>Most fragments a call.</summary>
    public const int Most = 8;

    /// <summary>Scales and biases of this lane's outputs of the first <paramref name="fragments"/> fragments from <paramref name="output"/> on.</summary>
    public static void Columns(ProductWeights weights, TensorProductShape shape, int output, int fragments, F2[] factors, F2[] biases)
    {
        F2 one;
        one.X = 1f;
        one.Y = 1f;
        for (int j = 0; j < fragments; j++)
        {
            factors[j] = one;
            biases[j] = default;
        }
        if (weights.Scaled != 0)
        {
            for (int j = 0; j < fragments; j++)
            {
                int column = IntrinsicMath.Min(output + 8 * j, shape.Matrix.Outputs - 2);
                F2 factor;
                factor.X = weights.Scales[column];
                factor.Y = weights.Scales[column + 1];
                factors[j] = factor;
            }
        }
        if (weights.BiasFormat != 0)
        {
            for (int j = 0; j < fragments; j++)
            {
                int column = IntrinsicMath.Min(output + 8 * j, shape.Matrix.Outputs - 2);
                F2 bias;
                bias.X = MatMulEpilogue.Bias(weights.Bias, weights.BiasFormat, column);
                bias.Y = MatMulEpilogue.Bias(weights.Bias, weights.BiasFormat, column + 1);
                biases[j] = bias;
            }
        }
    }

    /// <summary>Writes <paramref name="fragments"/> fragments, the first of them <c>sum[at]</c>, of rows from <paramref name="row"/> on, half or all of them <paramref name="together"/>.</summary>
    public static void Plain<TMap>(
        ArrayView<float> y, ArrayView<float> xScales, RowList list, TensorProductShape shape, F4[] sum, int at, int fragments, int together, F2[] factors, F2[] biases, int count, int row, int output)
        where TMap : struct, IRowMap
    {
        var pairs = y.Cast<F2>();
        long split = (long)Grid.IdxY * shape.Matrix.Rows * shape.YStride;
        for (int half = 0; half < 2; half++)
        {
            int line = row + 8 * half;
            if (line < count)
            {
                float scale = shape.XScaled != 0 ? xScales[TMap.Input(list, line)] : 1f, share = TMap.Weight(list, line);
                long target = (split + (long)TMap.Output(list, line) * shape.YStride + output) >> 1;
                for (int part = 0; part < 2; part++)
                {
                    if (part * together < fragments)
                    {
                        // what is there is read before anything is written: one wait for memory instead of one a fragment
                        var before = new F2[Most];
                        if (shape.Matrix.Accumulate != 0)
                        {
                            int last = (shape.Matrix.Outputs - 2 - output) >> 1;
                            for (int j = 0; j < together; j++) before[j] = pairs[target + IntrinsicMath.Min(4 * (part * together + j), last)];
                        }
                        for (int j = 0; j < together; j++)
                        {
                            int fragment = part * together + j;
                            F4 products = sum[at + fragment];
                            F2 factor = factors[fragment], bias = biases[fragment], value;
                            value.X = share * ((half == 0 ? products.X : products.Z) * scale * factor.X + bias.X) + before[j].X;
                            value.Y = share * ((half == 0 ? products.Y : products.W) * scale * factor.Y + bias.Y) + before[j].Y;
                            if (output + 8 * fragment < shape.Matrix.Outputs) pairs[target + 4 * fragment] = value;
                        }
                    }
                }
            }
        }
    }

    /// <summary>As <see cref="Plain"/>, of <paramref name="fragments"/> fragments of the gate from <c>sum[gate]</c> on and as many of the other matrix from <c>sum[up]</c> on.</summary>
    public static void Gated<TMap>(
        ArrayView<float> y, ArrayView<float> xScales, RowList list, TensorProductShape shape, F4[] sum, int gate, int up, int fragments,
        F2[] gateFactors, F2[] gateBiases, F2[] upFactors, F2[] upBiases, int count, int row, int output)
        where TMap : struct, IRowMap
    {
        var pairs = y.Cast<F2>();
        for (int half = 0; half < 2; half++)
        {
            int line = row + 8 * half;
            if (line < count)
            {
                float scale = shape.XScaled != 0 ? xScales[TMap.Input(list, line)] : 1f;
                long target = ((long)TMap.Output(list, line) * shape.YStride + output) >> 1;
                for (int j = 0; j < fragments; j++)
                {
                    F4 g = sum[gate + j], u = sum[up + j];
                    F2 value;
                    value.X = Silu((half == 0 ? g.X : g.Z) * scale * gateFactors[j].X + gateBiases[j].X) * ((half == 0 ? u.X : u.Z) * scale * upFactors[j].X + upBiases[j].X);
                    value.Y = Silu((half == 0 ? g.Y : g.W) * scale * gateFactors[j].Y + gateBiases[j].Y) * ((half == 0 ? u.Y : u.W) * scale * upFactors[j].Y + upBiases[j].Y);
                    if (output + 8 * j < shape.Matrix.Outputs) pairs[target + 4 * j] = value;
                }
            }
        }
    }

    private static float Silu(float x) => x / (1f + XMath.Exp(-x));
}
