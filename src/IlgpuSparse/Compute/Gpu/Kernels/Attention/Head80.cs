namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>80 channels a head.</summary>
internal readonly struct Head80 : IHeadSize
{
    public static int Channels => 80;
}
