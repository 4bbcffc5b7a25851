using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Transposes blocks of rows to <c>[column, row]</c>, the order in which the register tile reads the vectors that it loads, and its sums back.</summary>
internal static unsafe class PanelPacking
{
    /// <summary>Columns transposed at a time, so that what is laid out for it is still in the first-level cache.</summary>
    public const int ChunkColumns = 256;

    /// <summary>Distance of rows laid out for it: a little more than a power of two, or they would compete for the same lines of the cache.</summary>
    public const int UnpackedStride = ChunkColumns + 16;

    /// <summary>Floats of <paramref name="rows"/> such rows.</summary>
    public static int UnpackedFloats(int rows) => rows * UnpackedStride;

    /// <summary>
    /// Transposes <paramref name="columns"/> numbers of <paramref name="rows"/> rows (a multiple of four), <paramref name="stride"/> apart, to <paramref name="target"/> <c>[columns, rows]</c>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Transpose(float* source, nint stride, int columns, float* target, int rows)
    {
        int c = 0;
        for (; c <= columns - 4; c += 4, target += 4 * rows)
        {
            float* row = source + c;
            for (int i = 0; i < rows; i += 4, row += 4 * stride)
            {
                Vector128<float> a = Vector128.Load(row), b = Vector128.Load(row + stride);
                Vector128<float> d = Vector128.Load(row + 2 * stride), e = Vector128.Load(row + 3 * stride);
                Vector128<double> ab0 = Low(a, b).AsDouble(), ab1 = High(a, b).AsDouble(), de0 = Low(d, e).AsDouble(), de1 = High(d, e).AsDouble();
                Low(ab0, de0).AsSingle().Store(target + i);
                High(ab0, de0).AsSingle().Store(target + i + rows);
                Low(ab1, de1).AsSingle().Store(target + i + 2 * rows);
                High(ab1, de1).AsSingle().Store(target + i + 3 * rows);
            }
        }
        for (; c < columns; c++, target += rows)
            for (int i = 0; i < rows; i++) target[i] = source[i * stride + c];
    }

    // a0 b0 a1 b1
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Low(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackLow(a, b)
        : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.ZipLow(a, b)
        : Vector128.Create(a[0], b[0], a[1], b[1]);

    // a2 b2 a3 b3
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> High(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackHigh(a, b)
        : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.ZipHigh(a, b)
        : Vector128.Create(a[2], b[2], a[3], b[3]);

    // a0 b0
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<double> Low(Vector128<double> a, Vector128<double> b) =>
        Sse2.IsSupported ? Sse2.UnpackLow(a, b)
        : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.ZipLow(a, b)
        : Vector128.Create(a[0], b[0]);

    // a1 b1
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<double> High(Vector128<double> a, Vector128<double> b) =>
        Sse2.IsSupported ? Sse2.UnpackHigh(a, b)
        : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.ZipHigh(a, b)
        : Vector128.Create(a[1], b[1]);
}
