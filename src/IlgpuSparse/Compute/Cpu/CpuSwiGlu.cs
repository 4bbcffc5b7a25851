using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>gate = silu(gate) · up · factor, with silu(g) = g / (1 + e^-g).</summary>
internal static unsafe class CpuSwiGlu
{
    private const int TaskNumbers = 16 * 1024;

    /// <summary>Over <paramref name="count"/> numbers.</summary>
    public static void Run(WorkerPool pool, float* gate, float* up, long count, float factor = 1)
    {
        if (Vector512.IsHardwareAccelerated) Run<Simd512>(pool, gate, up, count, factor);
        else if (Vector256.IsHardwareAccelerated) Run<Simd256>(pool, gate, up, count, factor);
        else Run<Simd128>(pool, gate, up, count, factor);
    }

    /// <summary>With vectors of a given width.</summary>
    public static void Run<V>(WorkerPool pool, float* gate, float* up, long count, float factor) where V : struct, ISimd<V>
    {
        var job = new Job<V> { Gate = gate, Up = up, Count = count, Factor = factor };
        pool.Run(ref job, checked((int)((count + TaskNumbers - 1) / TaskNumbers)));
    }

    private struct Job<V> : IParallelJob where V : struct, ISimd<V>
    {
        public float* Gate, Up;
        public long Count;
        public float Factor;

        [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
        public readonly void Execute(int task, int worker)
        {
            long i = (long)task * TaskNumbers, end = Math.Min(Count, i + TaskNumbers);
            V one = V.Create(1), negative = V.Create(-1), factor = V.Create(Factor);
            for (; i <= end - V.Count; i += V.Count)
            {
                V g = V.Load(Gate + i), silu = V.Divide(g, V.Add(one, V.Exp(V.Multiply(g, negative))));
                V.Store(V.Multiply(silu, V.Multiply(V.Load(Up + i), factor)), Gate + i);
            }
            for (; i < end; i++) Gate[i] = Gate[i] / (1 + MathF.Exp(-Gate[i])) * (Up[i] * Factor);
        }
    }
}
