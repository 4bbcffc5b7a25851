namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>Sizes of a launch of <see cref="TensorProductKernel"/>.</summary>
internal struct TensorProductShape
{
    /// <summary>Rows, outputs and whether to add.</summary>
    public MatMulShape Matrix;

    /// <summary>Inputs / 8.</summary>
    public int Units;

    /// <summary>Slices of 64 inputs a pass, the last one filled up with zeros.</summary>
    public int Slices;

    /// <summary>Passes over the inputs: pass i multiplies plane i of x with plane 0 of W, or plane 0 of x with plane 1 of W once x has no more.</summary>
    public int Passes;

    /// <summary>Planes of x.</summary>
    public int XPlanes;

    /// <summary>Rows of a plane of x.</summary>
    public int XRows;

    /// <summary>1 if rows of x have scales.</summary>
    public int XScaled;

    /// <summary>Tiles along the rows.</summary>
    public int RowTiles;

    /// <summary>Tiles along the outputs.</summary>
    public int OutputTiles;

    /// <summary>Floats from one row of y to the next; even.</summary>
    public int YStride;
}
