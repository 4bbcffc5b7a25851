using ILGPU;
using ILGPU.Algorithms;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>As <see cref="SwiGluEpilogue"/> with the matrices of a slot's expert, for one activation row.</summary>
internal struct ExpertGateUpEpilogue : ILinearEpilogue
{
    /// <summary>Who works on what.</summary>
    public ExpertSlots Slots;

    /// <summary><c>[slot, Outputs]</c>.</summary>
    public ArrayView<float> Y;

    /// <summary>Rows of each matrix.</summary>
    public int Outputs;

    public static bool HasTerms => false;

    public static bool HasThreeMaps => false;

    public readonly LinearArgs Bind(LinearArgs args)
    {
        args.Weight0 = Slots.Address(0);
        args.Weight1 = Slots.Address(1);
        args.FirstQuad = (long)(ExpertSlots.Slot / Slots.Active) * (args.Columns >> 2);
        return args;
    }

    public readonly int Matrix(int tile, int slot) => slot >> 3;

    public readonly int Row(int tile, int slot) => IntrinsicMath.Min(tile * 8 + (slot & 7), Outputs - 1);

    public readonly EpilogueTerms Ahead(int tile, int g, int row) => default;

    public readonly void Finish(int tile, int g, int row, float upper, float lower, EpilogueTerms terms)
    {
        int output = tile * 8 + g;
        if (output < Outputs) Y[(long)ExpertSlots.Slot * Outputs + output] = upper / (1f + XMath.Exp(-upper)) * lower;
    }
}
