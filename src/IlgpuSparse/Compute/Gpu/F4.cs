namespace IlgpuSparse.Compute.Gpu;

/// <summary>Four floats, loaded and stored at once.</summary>
internal struct F4
{
    public float X, Y, Z, W;
}
