using ILGPU;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>What follows a product: bias, factor, sum with what is there.</summary>
internal static class MatMulEpilogue
{
    public static void Store(ArrayView<float> y, long at, ArrayView<ushort> bias, int output, MatMulShape shape, float factor, float product)
    {
        float result = product;
        if (shape.BiasFormat != 0) result += Bias(bias, shape.BiasFormat - 1, output);
        result *= factor;
        if (shape.Accumulate != 0) result += y[at];
        y[at] = result;
    }

    private static float Bias(ArrayView<ushort> bias, int format, int output)
    {
        float result;
        if (format == (int)WeightFormat.F32) result = bias.Cast<float>()[(long)output];
        else if (format == (int)WeightFormat.F16) result = Ptx.HalfLow(bias[(long)output]);
        else result = Ptx.BrainLow(bias[(long)output]);
        return result;
    }
}
