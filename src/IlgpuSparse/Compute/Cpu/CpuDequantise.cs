using System.Runtime.Intrinsics;
using IlgpuSparse.Compute.Cpu.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Stored weights as floats.</summary>
internal static unsafe class CpuDequantise
{
    /// <summary>Writes <paramref name="count"/> numbers (whole blocks) from <paramref name="source"/> to <paramref name="target"/>.</summary>
    public static void Run(WeightFormat format, byte* source, float* target, int count)
    {
        if (Vector512.IsHardwareAccelerated) Run<Simd512>(format, source, target, count);
        else if (Vector256.IsHardwareAccelerated) Run<Simd256>(format, source, target, count);
        else Run<Simd128>(format, source, target, count);
    }

    /// <summary>As <see cref="Run(WeightFormat, byte*, float*, int)"/> with vectors of a given width.</summary>
    public static void Run<V>(WeightFormat format, byte* source, float* target, int count) where V : struct, ISimd<V>
    {
        switch (format)
        {
            case WeightFormat.F32: F32Weights.Dequantise<V>(source, target, count); break;
            case WeightFormat.F16: F16Weights.Dequantise<V>(source, target, count); break;
            case WeightFormat.BF16: BF16Weights.Dequantise<V>(source, target, count); break;
            case WeightFormat.Q8_0: Q8_0Weights.Dequantise<V>(source, target, count); break;
            case WeightFormat.Q4_0: Q4_0Weights.Dequantise<V>(source, target, count); break;
            case WeightFormat.Q4_1: Q4_1Weights.Dequantise<V>(source, target, count); break;
            case WeightFormat.Q4_K: Q4_KWeights.Dequantise<V>(source, target, count); break;
            case WeightFormat.Q5_K: Q5_KWeights.Dequantise<V>(source, target, count); break;
            case WeightFormat.Q6_K: Q6_KWeights.Dequantise<V>(source, target, count); break;
            default: throw new ArgumentOutOfRangeException(nameof(format), format, "unknown weight format");
        }
    }
}
