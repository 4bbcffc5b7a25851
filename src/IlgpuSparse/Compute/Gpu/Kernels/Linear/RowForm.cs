using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>A way to multiply a single row of activations.</summary>
/// <param name="Depth">Stages a warp of <see cref="RowStreamKernel"/> has under way; 0 for <see cref="LinearRowKernel"/>.</param>
/// <param name="Groups">Groups a multiprocessor.</param>
/// <param name="AtOnce">See <see cref="KernelVariant.StartsNextAtOnce"/>.</param>
internal sealed record RowForm(int Depth, int Groups = 1, bool AtOnce = false)
{
    /// <summary>All, the best first.</summary>
    public static readonly RowForm[] All = [new(4), new(3), new(2), new(3, 2), new(2, 2), new(4, 1, true), new(3, 1, true), new(0, 1, true), new(0)];

    /// <summary>Whether there is such a kernel for a format.</summary>
    public bool Serves(WeightFormat format) => Depth == 0 ? RowCodec.Of(format) is not null : StreamCodec.Of(format) is not null;

    /// <summary>What tables call it.</summary>
    public override string ToString() => (Depth == 0 ? "registers" : $"ring {Depth} x {Groups}") + (AtOnce ? ", next at once" : "");
}
