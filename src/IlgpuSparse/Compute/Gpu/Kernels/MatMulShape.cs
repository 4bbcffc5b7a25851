namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Sizes and flags of a product, as one kernel argument.</summary>
internal struct MatMulShape
{
    /// <summary>Inputs / 4.</summary>
    public int Quads;

    /// <summary>Outputs.</summary>
    public int Outputs;

    /// <summary>Activation rows that the host knows of.</summary>
    public int Rows;

    /// <summary>0 without a bias, else 1 + its <see cref="Model.WeightFormat"/> (a plain one).</summary>
    public int BiasFormat;

    /// <summary>1 to add to y, 0 to overwrite it.</summary>
    public int Accumulate;
}
