namespace IlgpuSparse.Compute.Gpu;

/// <summary>Two 32-bit words, loaded and stored at once.</summary>
internal struct U2
{
    public uint X, Y;
}
