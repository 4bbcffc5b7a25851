using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>The activation rows that are routed to one expert; unused by products over all rows.</summary>
internal struct RowList
{
    /// <summary>Row numbers <c>[expert, Stride]</c>.</summary>
    public ArrayView<int> Rows;

    /// <summary>Router weights <c>[expert, Stride]</c>.</summary>
    public ArrayView<float> Weights;

    /// <summary>Rows routed to each expert <c>[expert]</c>.</summary>
    public ArrayView<int> Counts;

    /// <summary>Room an expert.</summary>
    public int Stride;

    /// <summary>The expert.</summary>
    public int Expert;
}
