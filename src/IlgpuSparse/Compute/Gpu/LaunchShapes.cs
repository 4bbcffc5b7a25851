namespace IlgpuSparse.Compute.Gpu;

/// <summary>Group sizes of kernels that accept several, and grid arithmetic.</summary>
internal static class LaunchShapes
{
    /// <summary>Most groups along a grid's second and third axis.</summary>
    public const int MaxGridY = 65535;

    /// <summary>
    /// Threads a group for a kernel that works with any multiple of 16 up to <paramref name="threads"/>: fewer on the CPU accelerator, where each is a thread of the operating system
    /// and a barrier costs microseconds for each.
    /// </summary>
    public static int GroupSize(this GpuDevice device, int threads) => device.Kind == GpuKind.CpuAccelerator ? Math.Min(16, threads) : threads;

    /// <summary>Groups of <paramref name="each"/> that cover <paramref name="total"/>.</summary>
    /// <exception cref="ArgumentException">More than a grid can have.</exception>
    public static int Groups(long total, int each)
    {
        long groups = (total + each - 1) / each;
        return groups <= int.MaxValue ? (int)groups : throw new ArgumentException($"{total:N0} items need a grid of {groups:N0} groups, more than {int.MaxValue:N0}");
    }
}
