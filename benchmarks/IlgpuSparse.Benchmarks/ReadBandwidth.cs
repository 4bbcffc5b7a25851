using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Benchmarks;

/// <summary>The yardstick of everything that memory limits: reading a buffer once with 512-bit loads on all workers.</summary>
internal unsafe struct ReadBandwidth : IParallelJob
{
    private const long TaskBytes = 256 * 1024;

    private byte* _data;
    private long _bytes;

    /// <summary>Kept so that the reads are not left out.</summary>
    public static int Sink;

    public static void Run(WorkerPool pool, byte* data, long bytes)
    {
        var job = new ReadBandwidth { _data = data, _bytes = bytes };
        pool.Run(ref job, (int)((bytes + TaskBytes - 1) / TaskBytes));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Execute(int task, int worker)
    {
        byte* at = _data + task * TaskBytes, end = _data + Math.Min(_bytes, (task + 1) * TaskBytes);
        Vector512<int> a = default, b = default, c = default, d = default;
        for (; at <= end - 256; at += 256)
        {
            a ^= Vector512.Load((int*)at);
            b ^= Vector512.Load((int*)(at + 64));
            c ^= Vector512.Load((int*)(at + 128));
            d ^= Vector512.Load((int*)(at + 192));
        }
        Sink = ((a ^ b) ^ (c ^ d)).ToScalar();
    }
}
