using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using IlgpuSparse.Compute.Cpu.Weights;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Decodes a block of weights and transposes it to <c>[column, output]</c>, the order in which the register tile reads it.</summary>
internal static unsafe class PanelPacking
{
    /// <summary>Rows of W decoded before they are transposed.</summary>
    public const int RowsAtOnce = 4;

    /// <summary>
    /// Packs <paramref name="columns"/> numbers of <paramref name="outputs"/> rows, <paramref name="rowBytes"/> apart, into <paramref name="panel"/> <c>[columns, panelOutputs]</c>;
    /// outputs that are not there become zero. <paramref name="decoded"/> is scratch for <see cref="RowsAtOnce"/> rows.
    /// </summary>
    public static void Pack<V, F>(byte* weight, long rowBytes, int outputs, int columns, float* decoded, float* panel, int panelOutputs)
        where V : struct, ISimd<V> where F : struct, IWeightFormat
    {
        for (int output = 0; output < panelOutputs; output += RowsAtOnce)
        {
            for (int i = 0; i < RowsAtOnce; i++)
            {
                float* row = decoded + (long)i * columns;
                if (output + i < outputs) F.Dequantise<V>(weight + (output + i) * rowBytes, row, columns);
                else new Span<float>(row, columns).Clear();
            }
            Transpose(decoded, columns, panel + output, panelOutputs);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Transpose(float* rows, int columns, float* target, int stride)
    {
        float* r0 = rows, r1 = rows + columns, r2 = r1 + columns, r3 = r2 + columns;
        int c = 0;
        for (; c <= columns - 4; c += 4, target += 4 * stride)
        {
            Vector128<float> a = Vector128.Load(r0 + c), b = Vector128.Load(r1 + c), d = Vector128.Load(r2 + c), e = Vector128.Load(r3 + c);
            Vector128<float> ab0 = Low(a, b), ab1 = High(a, b), de0 = Low(d, e), de1 = High(d, e);
            Vector128.Create(ab0.GetLower(), de0.GetLower()).Store(target);
            Vector128.Create(ab0.GetUpper(), de0.GetUpper()).Store(target + stride);
            Vector128.Create(ab1.GetLower(), de1.GetLower()).Store(target + 2 * stride);
            Vector128.Create(ab1.GetUpper(), de1.GetUpper()).Store(target + 3 * stride);
        }
        for (; c < columns; c++, target += stride)
        {
            target[0] = r0[c];
            target[1] = r1[c];
            target[2] = r2[c];
            target[3] = r3[c];
        }
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
}
