namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>A lane's part of the products of two weight rows.</summary>
internal struct StreamSums
{
    /// <summary>Sums of the accumulators, of the upper row in X and Y and of the lower one in Z and W: of them one each counts, in the lanes on the diagonal (<see cref="RowStreamKernel"/>).</summary>
    public F4 Products;

    /// <summary>What is summed apart, in all lanes.</summary>
    public float Upper, Lower;
}
