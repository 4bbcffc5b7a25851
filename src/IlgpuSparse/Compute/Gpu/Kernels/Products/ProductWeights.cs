using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>A weight matrix as a kernel argument.</summary>
internal struct ProductWeights
{
    /// <summary>16-bit numbers <c>[plane, output, input]</c>.</summary>
    public ArrayView<ushort> Data;

    /// <summary>What the numbers of a row are to be multiplied with, one a row; any memory unless <see cref="Scaled"/> is 1.</summary>
    public ArrayView<float> Scales;

    /// <summary>1 if there are scales.</summary>
    public int Scaled;

    /// <summary>Bias; any memory without one.</summary>
    public ArrayView<ushort> Bias;

    /// <summary>0 without a bias, else 1 + its <see cref="Model.WeightFormat"/> (a plain one).</summary>
    public int BiasFormat;
}
