namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>What a product reads: activations, and the norm that they pass first.</summary>
/// <param name="X">Activations <c>[row, columns]</c>.</param>
/// <param name="Rows">Rows.</param>
/// <param name="Norm">Weight of the norm, in a plain format; null for none.</param>
/// <param name="Epsilon">The norm's ε.</param>
internal readonly record struct LinearInputs(DeviceSpan X, int Rows, WeightMatrix? Norm = null, float Epsilon = 0f)
{
    /// <summary>Rows of <see cref="X"/> altogether, when groups take different ones.</summary>
    public int Total { get; init; }

    /// <summary>The slice of columns.</summary>
    public int Slice { get; init; }

    /// <summary>Slices that the columns are cut into.</summary>
    public int Slices { get; init; } = 1;

    /// <summary>Stages a slice, of all <paramref name="stages"/> of a row.</summary>
    public int SliceStages(int stages) => (stages + Slices - 1) / Slices;
}
