using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Benchmarks;

/// <summary>The yardstick of the matrix product: twelve independent chains of multiply-adds in registers, of the widest accelerated vector, on all workers.</summary>
internal struct FmaPeak : IParallelJob
{
    private const int Steps = 200_000, Chains = 12;

    /// <summary>Kept so that the arithmetic is not left out.</summary>
    public static float Sink;

    /// <summary>Runs <paramref name="tasks"/> and returns the floating-point operations in them.</summary>
    public static double Run(WorkerPool pool, int tasks)
    {
        var job = default(FmaPeak);
        pool.Run(ref job, tasks);
        return 2.0 * Steps * Chains * tasks * (Vector512.IsHardwareAccelerated ? 16 : Vector256.IsHardwareAccelerated ? 8 : 4);
    }

    public readonly void Execute(int task, int worker) =>
        Sink = Vector512.IsHardwareAccelerated ? Chain<Simd512>() : Vector256.IsHardwareAccelerated ? Chain<Simd256>() : Chain<Simd128>();

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Chain<V>() where V : struct, ISimd<V>
    {
        V a = V.Create(1), b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a, m = V.Create(0.999f), n = V.Create(0.001f);
        for (int s = 0; s < Steps; s++)
        {
            a = V.MultiplyAdd(a, m, n);
            b = V.MultiplyAdd(b, m, n);
            c = V.MultiplyAdd(c, m, n);
            d = V.MultiplyAdd(d, m, n);
            e = V.MultiplyAdd(e, m, n);
            f = V.MultiplyAdd(f, m, n);
            g = V.MultiplyAdd(g, m, n);
            h = V.MultiplyAdd(h, m, n);
            i = V.MultiplyAdd(i, m, n);
            j = V.MultiplyAdd(j, m, n);
            k = V.MultiplyAdd(k, m, n);
            l = V.MultiplyAdd(l, m, n);
        }
        V sum = V.Add(V.Add(V.Add(a, b), V.Add(c, d)), V.Add(V.Add(e, f), V.Add(g, h)));
        return V.Sum(V.Add(sum, V.Add(V.Add(i, j), V.Add(k, l))));
    }
}
