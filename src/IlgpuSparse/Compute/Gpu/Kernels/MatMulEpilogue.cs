using ILGPU;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>What follows a product: bias, sum with what is there.</summary>
internal static class MatMulEpilogue
{
    /// <summary>The bias of an output; zero without one.</summary>
    public static float Bias(ArrayView<ushort> bias, MatMulShape shape, int output) => Bias(bias, shape.BiasFormat, output);

    /// <summary>The bias of an output; <paramref name="format"/> is 0 without one, else 1 + its format.</summary>
    public static float Bias(ArrayView<ushort> bias, int format, int output)
    {
        float result = 0f;
        if (format == 1 + (int)WeightFormat.F32) result = bias.Cast<float>()[(long)output];
        if (format == 1 + (int)WeightFormat.F16) result = Ptx.HalfLow(bias[(long)output]);
        if (format == 1 + (int)WeightFormat.BF16) result = Ptx.BrainLow(bias[(long)output]);
        return result;
    }

    /// <summary>Writes or adds.</summary>
    public static void Store(ArrayView<float> y, long at, MatMulShape shape, float value)
    {
        if (shape.Accumulate != 0) value += y[at];
        y[at] = value;
    }
}
