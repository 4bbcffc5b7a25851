using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>The down projection of a slot's expert, for one activation row.</summary>
internal struct ExpertDownEpilogue : ILinearEpilogue
{
    /// <summary>Who works on what.</summary>
    public ExpertSlots Slots;

    /// <summary><c>[slot, Outputs]</c>.</summary>
    public ArrayView<float> Y;

    /// <summary>Rows of the matrix.</summary>
    public int Outputs;

    public static bool HasTerms => false;

    public static bool HasThreeMaps => false;

    public readonly LinearArgs Bind(LinearArgs args)
    {
        args.Weight0 = Slots.Address(2);
        args.FirstQuad = (long)ExpertSlots.Slot * (args.Columns >> 2);
        return args;
    }

    public readonly int Matrix(int tile, int slot) => 0;

    public readonly int Row(int tile, int slot) => IntrinsicMath.Min(tile * LinearKernel.TileRows + slot, Outputs - 1);

    public readonly EpilogueTerms Ahead(int tile, int g, int row) => default;

    public readonly void Finish(int tile, int g, int row, float upper, float lower, EpilogueTerms terms)
    {
        int output = tile * LinearKernel.TileRows + g;
        long at = (long)ExpertSlots.Slot * Outputs + output;
        if (output < Outputs) Y[at] = upper;
        if (output + 8 < Outputs) Y[at + 8] = lower;
    }
}
