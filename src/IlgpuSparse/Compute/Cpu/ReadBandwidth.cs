using System.Diagnostics;
using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>How fast the cores read memory: what every bandwidth-bound kernel is judged against.</summary>
internal static unsafe class ReadBandwidth
{
    private const int Slice = 1 << 20;

    private struct SumJob : IParallelJob
    {
        public byte* Data;
        public long* Sums;

        public readonly void Execute(int task, int worker)
        {
            // four independent accumulators: enough loads in flight to saturate a core's share
            var p = (long*)(Data + (long)task * Slice);
            Vector512<long> a = default, b = default, c = default, d = default;
            for (int i = 0; i < Slice / sizeof(long); i += 32)
            {
                a += Vector512.Load(p + i);
                b += Vector512.Load(p + i + 8);
                c += Vector512.Load(p + i + 16);
                d += Vector512.Load(p + i + 24);
            }
            Sums[worker * 8] += Vector512.Sum(a + b + c + d);
        }
    }

    /// <summary>Bytes a second when all of <paramref name="pool"/> read <paramref name="bytes"/> again and again for <paramref name="duration"/>; the median pass.</summary>
    public static double Measure(WorkerPool pool, long bytes, TimeSpan duration)
    {
        int slices = (int)Math.Max(1, bytes / Slice);
        using var buffer = new CpuBuffer((long)slices * Slice, "bandwidth", new MemoryLedger());
        new Span<byte>(buffer.Data, Slice).Fill(1);
        for (int i = 1; i < slices; i++) Buffer.MemoryCopy(buffer.Data, buffer.Data + (long)i * Slice, Slice, Slice);
        var sums = stackalloc long[pool.Workers * 8];
        var job = new SumJob { Data = buffer.Data, Sums = sums };
        pool.Run(ref job, slices);
        var rates = new List<double>();
        long start = Stopwatch.GetTimestamp();
        do
        {
            long before = Stopwatch.GetTimestamp();
            pool.Run(ref job, slices);
            rates.Add((double)slices * Slice / Stopwatch.GetElapsedTime(before).TotalSeconds);
        } while (Stopwatch.GetElapsedTime(start) < duration || rates.Count < 3);
        rates.Sort();
        return rates[rates.Count / 2];
    }
}
