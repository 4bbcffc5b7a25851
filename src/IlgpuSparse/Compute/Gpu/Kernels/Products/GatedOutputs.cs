namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>silu(gate) · up, from two matrices.</summary>
internal readonly struct GatedOutputs : IProductOutputs
{
    public static bool Gated => true;
}
