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

    public static bool HasTerms => false;

    public static bool HasThreeMaps => false;

    public readonly LinearArgs Bind(LinearArgs args) => args;

    public readonly int Matrix(int tile, int slot) => 0;

    public readonly int Row(int tile, int slot) => IntrinsicMath.Min(tile * LinearKernel.TileRows + slot, Shape.Outputs - 1);

    public readonly EpilogueTerms Ahead(int tile, int g, int row) => default;

    public readonly void Finish(int tile, int g, int row, float upper, float lower, EpilogueTerms terms)
    {
        int output = tile * LinearKernel.TileRows + g;
        long at = (long)row * Shape.Outputs + output;
        if (output < Shape.Outputs) Store(at, upper + MatMulEpilogue.Bias(Bias, Shape.BiasFormat, output));
        if (output + 8 < Shape.Outputs) Store(at + 8, lower + MatMulEpilogue.Bias(Bias, Shape.BiasFormat, output + 8));
    }

    // Nobody else adds to it in this launch, and nothing has to come from memory first.
    private readonly void Store(long at, float value)
    {
        if (Shape.Accumulate != 0) LinearOps.Add(ref Y[at], value);
        else Y[at] = value;
    }
}
