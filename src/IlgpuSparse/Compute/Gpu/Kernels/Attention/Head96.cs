namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>96 channels a head.</summary>
internal readonly struct Head96 : IHeadSize
{
    public static int Channels => 96;
}
