using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>The experts that rows were routed to: slot row · <see cref="Active"/> + rank of a launch, its second grid dimension.</summary>
internal struct ExpertSlots
{
    /// <summary>Addresses of the experts' matrices <c>[gate, up or down, expert]</c>.</summary>
    public ArrayView<long> Table;

    /// <summary>The expert of each slot.</summary>
    public ArrayView<int> Chosen;

    /// <summary>Experts.</summary>
    public int Experts;

    /// <summary>Slots a row.</summary>
    public int Active;

    /// <summary>The slot of the running group.</summary>
    public static int Slot => Grid.IdxY;

    /// <summary>The address of matrix <paramref name="kind"/> of the slot's expert; of the first one where routing chose none, which only weights that are no numbers do.</summary>
    public readonly long Address(int kind)
    {
        DependentLaunch.AwaitEarlier();
        return Table[kind * Experts + IntrinsicMath.Max(Chosen[Slot], 0)];
    }
}
