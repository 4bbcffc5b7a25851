using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Whether this processor multiplies numbers below the normal range as fast as others. Some take over a hundred cycles for each, others none; nothing they say of themselves tells.</summary>
internal static class Subnormals
{
    private const int Products = 1024, Attempts = 9;

    /// <summary>Measured once, in some microseconds.</summary>
    public static readonly bool AreFree = Measure();

    private static bool Measure()
    {
        const float normal = 1e-30f, subnormal = 1e-40f;
        long fast = long.MaxValue, slow = long.MaxValue;
        for (int i = 0; i < Attempts; i++)
        {
            fast = Math.Min(fast, Ticks(normal));
            slow = Math.Min(slow, Ticks(subnormal));
        }
        return slow < 3 * fast;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static long Ticks(float factor)
    {
        long start = Stopwatch.GetTimestamp();
        float sum = 0;
        for (int i = 1; i <= Products; i++) sum = MathF.FusedMultiplyAdd(factor, i * 1e20f, sum);
        long ticks = Stopwatch.GetTimestamp() - start;
        return sum > 0 ? ticks : long.MaxValue;
    }
}
