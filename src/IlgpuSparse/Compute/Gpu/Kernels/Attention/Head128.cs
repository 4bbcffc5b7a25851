namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>128 channels a head.</summary>
internal readonly struct Head128 : IHeadSize
{
    public static int Channels => 128;
}
