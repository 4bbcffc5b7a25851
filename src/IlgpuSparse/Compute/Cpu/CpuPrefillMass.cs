using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Attention that a chunk of tokens pays to every token; see <see cref="PrefillMassJob{V}"/>.</summary>
internal static unsafe class CpuPrefillMass
{
    /// <summary>
    /// Sums for the <paramref name="rows"/> tokens from <paramref name="start"/>: <paramref name="keys"/> <c>[block, kvHead, token in block, headDim]</c>, <paramref name="q"/> <c>[row, head, headDim]</c>, <paramref name="mass"/>
    /// <c>[head, mass.Length / heads]</c> by position, overwritten from the first visible token on.
    /// </summary>
    public static void Run(WorkerPool pool, AttentionShape shape, ReadOnlySpan<float> keys, ReadOnlySpan<int> blocks, int start, int rows, ReadOnlySpan<float> q, Span<float> mass)
    {
        if (Vector512.IsHardwareAccelerated) Run<Simd512>(pool, shape, keys, blocks, start, rows, q, mass);
        else if (Vector256.IsHardwareAccelerated) Run<Simd256>(pool, shape, keys, blocks, start, rows, q, mass);
        else Run<Simd128>(pool, shape, keys, blocks, start, rows, q, mass);
    }

    private static void Run<V>(WorkerPool pool, AttentionShape shape, ReadOnlySpan<float> keys, ReadOnlySpan<int> blocks, int start, int rows, ReadOnlySpan<float> q, Span<float> mass)
        where V : struct, ISimd<V>
    {
        fixed (float* k = keys, queries = q, sums = mass)
        fixed (int* table = blocks)
        {
            var job = new PrefillMassJob<V>
            {
                Shape = shape,
                Keys = k,
                Blocks = table,
                Start = start,
                Rows = rows,
                Q = queries,
                Mass = sums,
                MassStride = mass.Length / shape.Heads,
                Scratch = pool.Scratch,
            };
            pool.Run(ref job, shape.Heads);
        }
    }
}
