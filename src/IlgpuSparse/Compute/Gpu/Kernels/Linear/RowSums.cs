namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>A lane's part of the products of two weight rows, in four sums each that do not wait for one another.</summary>
internal struct RowSums
{
    /// <summary>Of the rows in slots g and g + 8.</summary>
    public F4 Upper, Lower;
}
