namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Four 32-bit integers: a lane's part of an integer product.</summary>
internal struct I4
{
    public int X, Y, Z, W;
}
