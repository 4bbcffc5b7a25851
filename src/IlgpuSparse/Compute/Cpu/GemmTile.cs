using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// The register tile of the blocked product: 12 rows by 2 vectors of 512 bits (24 sums, two weights and one number of X in 32 registers), 6 rows by 2 of the narrower vectors,
/// which mostly come with 16 registers. Each number of the panel is loaded once a tile and each number of X (of the weights, where the panel holds the rows of X) is broadcast for two multiplications, so that the multipliers and
/// not the load ports limit.
/// </summary>
internal static unsafe class GemmTile
{
    /// <summary>Vectors of a panel side by side.</summary>
    public const int PanelVectors = 2;

    /// <summary>Rows of a tile of vectors <typeparamref name="V"/>.</summary>
    public static int Rows<V>() => typeof(V) == typeof(Simd512) ? 12 : 6;

    /// <summary>
    /// Y += X · panel: X <c>[Rows, columns]</c> with rows <paramref name="stride"/> apart, panel <c>[columns, 2 vectors]</c>, Y with rows <paramref name="yStride"/> apart.
    /// The sum over the columns runs in their order, in every lane alike.
    /// </summary>
    public static void Run<V>(float* x, long stride, float* panel, int columns, float* y, long yStride) where V : struct, ISimd<V>
    {
        if (typeof(V) == typeof(Simd512)) Run512(x, (nint)stride, panel, columns, y, (nint)yStride);
        else RunNarrow<V>(x, (nint)stride, panel, columns, y, (nint)yStride);
    }

    /// <summary>Rows of x in <see cref="RunLanes{V}"/>.</summary>
    public const int LaneOutputs = 12;

    /// <summary>As <see cref="Run{V}"/> for <see cref="LaneOutputs"/> rows of x and a panel of one or of two vectors (<paramref name="width"/> numbers, as far apart as the rows of y).</summary>
    public static void RunLanes<V>(float* x, long stride, float* panel, int columns, float* y, int width) where V : struct, ISimd<V>
    {
        if (width == V.Count) RunOneVector<V>(x, (nint)stride, panel, columns, y);
        else for (int row = 0; row < LaneOutputs; row += Rows<V>()) Run<V>(x + row * stride, stride, panel, columns, y + row * width, width);
    }

    // Written with the vector type itself: through ISimd the compiler copies every other sum once a step.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Run512(float* x, nint stride, float* panel, int columns, float* y, nint yStride)
    {
        Vector512<float> a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default, a6 = default, a7 = default, a8 = default, a9 = default, a10 = default, a11 = default;
        Vector512<float> b0 = default, b1 = default, b2 = default, b3 = default, b4 = default, b5 = default, b6 = default, b7 = default, b8 = default, b9 = default, b10 = default, b11 = default;
        float* x0 = x, x3 = x + 3 * stride, x6 = x + 6 * stride, x9 = x + 9 * stride;
        for (; columns > 0; columns--, panel += 2 * 16, x0++, x3++, x6++, x9++)
        {
            Vector512<float> p = Vector512.Load(panel), q = Vector512.Load(panel + 16);
            Vector512<float> v0 = Vector512.Create(*x0);
            a0 = Vector512.FusedMultiplyAdd(v0, p, a0);
            b0 = Vector512.FusedMultiplyAdd(v0, q, b0);
            Vector512<float> v1 = Vector512.Create(x0[stride]);
            a1 = Vector512.FusedMultiplyAdd(v1, p, a1);
            b1 = Vector512.FusedMultiplyAdd(v1, q, b1);
            Vector512<float> v2 = Vector512.Create(x0[2 * stride]);
            a2 = Vector512.FusedMultiplyAdd(v2, p, a2);
            b2 = Vector512.FusedMultiplyAdd(v2, q, b2);
            Vector512<float> v3 = Vector512.Create(*x3);
            a3 = Vector512.FusedMultiplyAdd(v3, p, a3);
            b3 = Vector512.FusedMultiplyAdd(v3, q, b3);
            Vector512<float> v4 = Vector512.Create(x3[stride]);
            a4 = Vector512.FusedMultiplyAdd(v4, p, a4);
            b4 = Vector512.FusedMultiplyAdd(v4, q, b4);
            Vector512<float> v5 = Vector512.Create(x3[2 * stride]);
            a5 = Vector512.FusedMultiplyAdd(v5, p, a5);
            b5 = Vector512.FusedMultiplyAdd(v5, q, b5);
            Vector512<float> v6 = Vector512.Create(*x6);
            a6 = Vector512.FusedMultiplyAdd(v6, p, a6);
            b6 = Vector512.FusedMultiplyAdd(v6, q, b6);
            Vector512<float> v7 = Vector512.Create(x6[stride]);
            a7 = Vector512.FusedMultiplyAdd(v7, p, a7);
            b7 = Vector512.FusedMultiplyAdd(v7, q, b7);
            Vector512<float> v8 = Vector512.Create(x6[2 * stride]);
            a8 = Vector512.FusedMultiplyAdd(v8, p, a8);
            b8 = Vector512.FusedMultiplyAdd(v8, q, b8);
            Vector512<float> v9 = Vector512.Create(*x9);
            a9 = Vector512.FusedMultiplyAdd(v9, p, a9);
            b9 = Vector512.FusedMultiplyAdd(v9, q, b9);
            Vector512<float> v10 = Vector512.Create(x9[stride]);
            a10 = Vector512.FusedMultiplyAdd(v10, p, a10);
            b10 = Vector512.FusedMultiplyAdd(v10, q, b10);
            Vector512<float> v11 = Vector512.Create(x9[2 * stride]);
            a11 = Vector512.FusedMultiplyAdd(v11, p, a11);
            b11 = Vector512.FusedMultiplyAdd(v11, q, b11);
        }
        AddTo(a0, b0, y);
        AddTo(a1, b1, y + 1 * yStride);
        AddTo(a2, b2, y + 2 * yStride);
        AddTo(a3, b3, y + 3 * yStride);
        AddTo(a4, b4, y + 4 * yStride);
        AddTo(a5, b5, y + 5 * yStride);
        AddTo(a6, b6, y + 6 * yStride);
        AddTo(a7, b7, y + 7 * yStride);
        AddTo(a8, b8, y + 8 * yStride);
        AddTo(a9, b9, y + 9 * yStride);
        AddTo(a10, b10, y + 10 * yStride);
        AddTo(a11, b11, y + 11 * yStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void RunNarrow<V>(float* x, nint stride, float* panel, int columns, float* y, nint yStride) where V : struct, ISimd<V>
    {
        V a0 = V.Zero, a1 = V.Zero, a2 = V.Zero, a3 = V.Zero, a4 = V.Zero, a5 = V.Zero;
        V b0 = V.Zero, b1 = V.Zero, b2 = V.Zero, b3 = V.Zero, b4 = V.Zero, b5 = V.Zero;
        float* x0 = x, x3 = x + 3 * stride;
        for (; columns > 0; columns--, panel += 2 * V.Count, x0++, x3++)
        {
            V p = V.Load(panel), q = V.Load(panel + V.Count);
            V v0 = V.Create(*x0);
            a0 = V.MultiplyAdd(v0, p, a0);
            b0 = V.MultiplyAdd(v0, q, b0);
            V v1 = V.Create(x0[stride]);
            a1 = V.MultiplyAdd(v1, p, a1);
            b1 = V.MultiplyAdd(v1, q, b1);
            V v2 = V.Create(x0[2 * stride]);
            a2 = V.MultiplyAdd(v2, p, a2);
            b2 = V.MultiplyAdd(v2, q, b2);
            V v3 = V.Create(*x3);
            a3 = V.MultiplyAdd(v3, p, a3);
            b3 = V.MultiplyAdd(v3, q, b3);
            V v4 = V.Create(x3[stride]);
            a4 = V.MultiplyAdd(v4, p, a4);
            b4 = V.MultiplyAdd(v4, q, b4);
            V v5 = V.Create(x3[2 * stride]);
            a5 = V.MultiplyAdd(v5, p, a5);
            b5 = V.MultiplyAdd(v5, q, b5);
        }
        AddTo(a0, b0, y);
        AddTo(a1, b1, y + 1 * yStride);
        AddTo(a2, b2, y + 2 * yStride);
        AddTo(a3, b3, y + 3 * yStride);
        AddTo(a4, b4, y + 4 * yStride);
        AddTo(a5, b5, y + 5 * yStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void RunOneVector<V>(float* x, nint stride, float* panel, int columns, float* y) where V : struct, ISimd<V>
    {
        V a0 = V.Zero, a1 = V.Zero, a2 = V.Zero, a3 = V.Zero, a4 = V.Zero, a5 = V.Zero, a6 = V.Zero, a7 = V.Zero, a8 = V.Zero, a9 = V.Zero, a10 = V.Zero, a11 = V.Zero;
        float* x0 = x, x3 = x + 3 * stride, x6 = x + 6 * stride, x9 = x + 9 * stride;
        for (; columns > 0; columns--, panel += V.Count, x0++, x3++, x6++, x9++)
        {
            V p = V.Load(panel);
            a0 = V.MultiplyAdd(V.Create(*x0), p, a0);
            a1 = V.MultiplyAdd(V.Create(x0[stride]), p, a1);
            a2 = V.MultiplyAdd(V.Create(x0[2 * stride]), p, a2);
            a3 = V.MultiplyAdd(V.Create(*x3), p, a3);
            a4 = V.MultiplyAdd(V.Create(x3[stride]), p, a4);
            a5 = V.MultiplyAdd(V.Create(x3[2 * stride]), p, a5);
            a6 = V.MultiplyAdd(V.Create(*x6), p, a6);
            a7 = V.MultiplyAdd(V.Create(x6[stride]), p, a7);
            a8 = V.MultiplyAdd(V.Create(x6[2 * stride]), p, a8);
            a9 = V.MultiplyAdd(V.Create(*x9), p, a9);
            a10 = V.MultiplyAdd(V.Create(x9[stride]), p, a10);
            a11 = V.MultiplyAdd(V.Create(x9[2 * stride]), p, a11);
        }
        AddTo(a0, y);
        AddTo(a1, y + V.Count);
        AddTo(a2, y + 2 * V.Count);
        AddTo(a3, y + 3 * V.Count);
        AddTo(a4, y + 4 * V.Count);
        AddTo(a5, y + 5 * V.Count);
        AddTo(a6, y + 6 * V.Count);
        AddTo(a7, y + 7 * V.Count);
        AddTo(a8, y + 8 * V.Count);
        AddTo(a9, y + 9 * V.Count);
        AddTo(a10, y + 10 * V.Count);
        AddTo(a11, y + 11 * V.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddTo<V>(V a, float* y) where V : struct, ISimd<V> => V.Store(V.Add(V.Load(y), a), y);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddTo<V>(V a, V b, float* y) where V : struct, ISimd<V>
    {
        V.Store(V.Add(V.Load(y), a), y);
        V.Store(V.Add(V.Load(y + V.Count), b), y + V.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddTo(Vector512<float> a, Vector512<float> b, float* y)
    {
        (Vector512.Load(y) + a).Store(y);
        (Vector512.Load(y + 16) + b).Store(y + 16);
    }
}
