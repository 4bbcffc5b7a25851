using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Fetches weights before they are used. The processor's own prefetcher stops at every 4 KiB page, and decoding fills its reorder window long before the window reaches far enough
/// to hide memory.
/// </summary>
internal static unsafe class Prefetch
{
    // A page: far enough for the latency of memory at the rate of one core, near enough to stay in the first-level cache until it is used.
    private const int Distance = 4096;

    /// <summary>The line some way behind <paramref name="at"/>; it need not exist.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Ahead(byte* at)
    {
        if (Sse.IsSupported) Sse.Prefetch0(at + Distance);
    }

    /// <summary>Lines of the next <paramref name="bytes"/> at <paramref name="at"/>, into the second-level cache; they need not exist. Returns where the next call goes on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Lines(byte* at, long bytes)
    {
        byte* end = at + bytes;
        for (; Sse.IsSupported && at < end; at += 64) Sse.Prefetch1(at);
        return at;
    }
}
