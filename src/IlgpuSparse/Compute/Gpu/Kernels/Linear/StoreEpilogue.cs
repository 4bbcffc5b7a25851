using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>One matrix: products plus bias are written or added to what is there.</summary>
internal struct StoreEpilogue : ILinearEpilogue
{
    /// <summary><c>[row, Outputs]</c>.</summary>
    public ArrayView<float> Y;

    /// <summary>The bias; any memory without one.</summary>
    public ArrayView<ushort> Bias;

    /// <summary>Outputs, bias format and whether to add.</summary>
    public MatMulShape Shape;

    public readonly LinearArgs Bind(LinearArgs args) => args;

    public readonly int Matrix(int tile, int slot) => 0;

    public readonly int Row(int tile, int slot) => IntrinsicMath.Min(tile * LinearKernel.TileRows + slot, Shape.Outputs - 1);

    public readonly void Finish(int tile, int g, int row, float upper, float lower)
    {
        int output = tile * LinearKernel.TileRows + g;
        long at = (long)row * Shape.Outputs + output;
        if (output < Shape.Outputs) MatMulEpilogue.Store(Y, at, Shape, upper + MatMulEpilogue.Bias(Bias, Shape.BiasFormat, output));
        if (output + 8 < Shape.Outputs) MatMulEpilogue.Store(Y, at + 8, Shape, lower + MatMulEpilogue.Bias(Bias, Shape.BiasFormat, output + 8));
    }
}
