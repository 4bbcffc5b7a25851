namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>64 channels a head.</summary>
internal readonly struct Head64 : IHeadSize
{
    public static int Channels => 64;
}
