namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>The products with one matrix.</summary>
internal readonly struct PlainOutputs : IProductOutputs
{
    public static bool Gated => false;
}
