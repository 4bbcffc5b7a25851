using ILGPU;
using ILGPU.Algorithms;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Gate and up projection: eight rows of each a tile, silu(gate) · up is written.</summary>
internal struct SwiGluEpilogue : ILinearEpilogue
{
    /// <summary><c>[row, Outputs]</c>.</summary>
    public ArrayView<float> Y;

    /// <summary>The biases; any memory without them.</summary>
    public ArrayView<ushort> GateBias, UpBias;

    /// <summary>0 without a bias, else 1 + its format.</summary>
    public int GateBiasFormat, UpBiasFormat;

    /// <summary>Rows of each matrix.</summary>
    public int Outputs;

    public static bool HasTerms => false;

    public static bool HasThreeMaps => false;

    public readonly LinearArgs Bind(LinearArgs args) => args;

    public readonly int Matrix(int tile, int slot) => slot >> 3;

    public readonly int Row(int tile, int slot) => IntrinsicMath.Min(tile * 8 + (slot & 7), Outputs - 1);

    public readonly EpilogueTerms Ahead(int tile, int g, int row) => default;

    public readonly void Finish(int tile, int g, int row, float upper, float lower, EpilogueTerms terms)
    {
        int output = tile * 8 + g;
        if (output < Outputs)
        {
            float gate = upper + MatMulEpilogue.Bias(GateBias, GateBiasFormat, output);
            float up = lower + MatMulEpilogue.Bias(UpBias, UpBiasFormat, output);
            Y[(long)row * Outputs + output] = gate / (1f + XMath.Exp(-gate)) * up;
        }
    }
}
