using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// The register tile of the blocked product: 12 rows by 2 vectors where there are 32 vector registers (24 sums, two weights, one number of X), 6 rows by 2 where there are 16.
/// Each number of the panel is loaded once a tile and each number of X is broadcast for two multiplications, so that the multipliers and not the load ports limit.
/// </summary>
internal static unsafe class GemmTile
{
    /// <summary>Vectors of outputs side by side.</summary>
    public const int PanelVectors = 2;

    /// <summary>Rows of a tile.</summary>
    public static int Rows => Vector512.IsHardwareAccelerated || AdvSimd.Arm64.IsSupported ? 12 : 6;

    /// <summary>
    /// Y += X · panel: X <c>[Rows, columns]</c> with rows <paramref name="stride"/> apart, panel <c>[columns, 2 vectors]</c>, Y with rows <paramref name="yStride"/> apart.
    /// The sum over the columns runs in their order, in every lane alike.
    /// </summary>
    public static void Run<V>(float* x, long stride, float* panel, int columns, float* y, long yStride) where V : struct, ISimd<V>
    {
        if (Rows == 12) Run12<V>(x, (nint)stride, panel, columns, y, (nint)yStride);
        else Run6<V>(x, (nint)stride, panel, columns, y, (nint)yStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Run12<V>(float* x, nint stride, float* panel, int columns, float* y, nint yStride) where V : struct, ISimd<V>
    {
        V a0 = V.Zero, a1 = V.Zero, a2 = V.Zero, a3 = V.Zero, a4 = V.Zero, a5 = V.Zero, a6 = V.Zero, a7 = V.Zero, a8 = V.Zero, a9 = V.Zero, a10 = V.Zero, a11 = V.Zero;
        V b0 = V.Zero, b1 = V.Zero, b2 = V.Zero, b3 = V.Zero, b4 = V.Zero, b5 = V.Zero, b6 = V.Zero, b7 = V.Zero, b8 = V.Zero, b9 = V.Zero, b10 = V.Zero, b11 = V.Zero;
        float* x0 = x, x3 = x + 3 * stride, x6 = x + 6 * stride, x9 = x + 9 * stride;
        for (; columns > 0; columns--, panel += 2 * V.Count, x0++, x3++, x6++, x9++)
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
            V v6 = V.Create(*x6);
            a6 = V.MultiplyAdd(v6, p, a6);
            b6 = V.MultiplyAdd(v6, q, b6);
            V v7 = V.Create(x6[stride]);
            a7 = V.MultiplyAdd(v7, p, a7);
            b7 = V.MultiplyAdd(v7, q, b7);
            V v8 = V.Create(x6[2 * stride]);
            a8 = V.MultiplyAdd(v8, p, a8);
            b8 = V.MultiplyAdd(v8, q, b8);
            V v9 = V.Create(*x9);
            a9 = V.MultiplyAdd(v9, p, a9);
            b9 = V.MultiplyAdd(v9, q, b9);
            V v10 = V.Create(x9[stride]);
            a10 = V.MultiplyAdd(v10, p, a10);
            b10 = V.MultiplyAdd(v10, q, b10);
            V v11 = V.Create(x9[2 * stride]);
            a11 = V.MultiplyAdd(v11, p, a11);
            b11 = V.MultiplyAdd(v11, q, b11);
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

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Run6<V>(float* x, nint stride, float* panel, int columns, float* y, nint yStride) where V : struct, ISimd<V>
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

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddTo<V>(V a, V b, float* y) where V : struct, ISimd<V>
    {
        V.Store(V.Add(V.Load(y), a), y);
        V.Store(V.Add(V.Load(y + V.Count), b), y + V.Count);
    }
}
