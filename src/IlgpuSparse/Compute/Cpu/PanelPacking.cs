using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using IlgpuSparse.Compute.Cpu.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Decodes a block of weights and transposes it to <c>[column, output]</c>, the order in which the register tile reads it.</summary>
internal static unsafe class PanelPacking
{
    // Columns decoded before they are transposed: one block of the widest format, so that what is decoded is still in the first-level cache.
    private const int ChunkColumns = 256;

    /// <summary>Distance of decoded rows: a little more than a power of two, or they would compete for the same lines of the cache.</summary>
    public const int DecodedStride = ChunkColumns + 16;

    /// <summary>Floats of scratch for <see cref="Pack"/>.</summary>
    public static int DecodedFloats(int panelOutputs) => panelOutputs * DecodedStride;

    /// <summary>
    /// Packs <paramref name="columns"/> numbers of <paramref name="outputs"/> rows, <paramref name="rowBytes"/> apart, into <paramref name="panel"/> <c>[columns, panelOutputs]</c>;
    /// outputs that are not there become zero. <paramref name="decoded"/> is scratch of <see cref="DecodedFloats"/>.
    /// </summary>
    public static void Pack<V, F>(byte* weight, WeightFormat format, long rowBytes, int outputs, int columns, float* decoded, float* panel, int panelOutputs)
        where V : struct, ISimd<V> where F : struct, IWeightFormat
    {
        if (outputs < panelOutputs) new Span<float>(decoded + outputs * DecodedStride, (panelOutputs - outputs) * DecodedStride).Clear();
        for (int column = 0; column < columns; column += ChunkColumns)
        {
            int chunk = Math.Min(ChunkColumns, columns - column);
            byte* source = weight + format.ByteLength(column);
            for (int output = 0; output < outputs; output++) F.Dequantise<V>(source + output * rowBytes, decoded + output * DecodedStride, chunk);
            Transpose(decoded, chunk, panel + (long)column * panelOutputs, panelOutputs);
        }
    }

    /// <summary>
    /// Transposes <paramref name="columns"/> numbers of <paramref name="outputs"/> rows, <see cref="DecodedStride"/> apart, to <paramref name="target"/> <c>[columns, outputs]</c>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Transpose(float* decoded, int columns, float* target, int outputs)
    {
        int c = 0;
        for (; c <= columns - 4; c += 4, target += 4 * outputs)
        {
            float* row = decoded + c;
            for (int output = 0; output < outputs; output += 4, row += 4 * DecodedStride)
            {
                Vector128<float> a = Vector128.Load(row), b = Vector128.Load(row + DecodedStride);
                Vector128<float> d = Vector128.Load(row + 2 * DecodedStride), e = Vector128.Load(row + 3 * DecodedStride);
                Vector128<double> ab0 = Low(a, b).AsDouble(), ab1 = High(a, b).AsDouble(), de0 = Low(d, e).AsDouble(), de1 = High(d, e).AsDouble();
                Low(ab0, de0).AsSingle().Store(target + output);
                High(ab0, de0).AsSingle().Store(target + output + outputs);
                Low(ab1, de1).AsSingle().Store(target + output + 2 * outputs);
                High(ab1, de1).AsSingle().Store(target + output + 3 * outputs);
            }
        }
        for (; c < columns; c++, target += outputs)
            for (int output = 0; output < outputs; output++) target[output] = decoded[output * DecodedStride + c];
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
