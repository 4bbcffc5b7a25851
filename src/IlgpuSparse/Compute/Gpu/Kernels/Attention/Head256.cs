namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>256 channels a head.</summary>
internal readonly struct Head256 : IHeadSize
{
    public static int Channels => 256;
}
