namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>What <see cref="TensorProductKernel"/> makes of its sums.</summary>
internal interface IProductOutputs
{
    /// <summary>Whether a tile's outputs are half those of one matrix and half those of another, which meet in silu(first) · second.</summary>
    static abstract bool Gated { get; }
}
