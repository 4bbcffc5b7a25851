using System.Runtime.InteropServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Pages of 2 MiB for large buffers. Selected tokens lie in as many pages as there are of them; with 4 KiB pages every one begins with a walk through the page tables, which takes as long
/// as the fetch itself.
/// </summary>
internal static unsafe partial class LargePages
{
    /// <summary>Size and alignment of a large page.</summary>
    public const int Bytes = 2 << 20;

    private const int AdviseHugePage = 14; // MADV_HUGEPAGE

    /// <summary>Asks for large pages; memory is still committed as it is touched. Without effect where the system has none to give.</summary>
    public static void Advise(void* start, nuint bytes)
    {
        if (OperatingSystem.IsLinux()) _ = MemoryAdvise(start, bytes, AdviseHugePage);
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int MemoryAdvise(void* start, nuint bytes, int advice);
}
