namespace IlgpuSparse.Compute.Gpu;

/// <summary>Four 32-bit words, loaded and stored at once.</summary>
internal struct U4
{
    public uint X, Y, Z, W;
}
