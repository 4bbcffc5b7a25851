namespace IlgpuSparse.Compute.Gpu;

/// <summary>Two floats, loaded and stored at once.</summary>
internal struct F2
{
    public float X, Y;
}
