using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Weights;

/// <summary>The codec of each format.</summary>
internal static class WeightCodecs
{
    /// <summary>Formats that norm weights and biases come in.</summary>
    public static readonly WeightFormat[] Plain = [WeightFormat.F32, WeightFormat.F16, WeightFormat.BF16];

    /// <summary>All formats.</summary>
    public static readonly WeightFormat[] All = Enum.GetValues<WeightFormat>();

    /// <summary>The type argument for <paramref name="format"/>.</summary>
    public static Type Of(WeightFormat format) => format switch
    {
        WeightFormat.F32 => typeof(F32Weights),
        WeightFormat.F16 => typeof(F16Weights),
        WeightFormat.BF16 => typeof(BF16Weights),
        WeightFormat.Q8_0 => typeof(Q8_0Weights),
        WeightFormat.Q4_0 => typeof(Q4_0Weights),
        WeightFormat.Q4_1 => typeof(Q4_1Weights),
        WeightFormat.Q4_K => typeof(Q4_KWeights),
        WeightFormat.Q5_K => typeof(Q5_KWeights),
        WeightFormat.Q6_K => typeof(Q6_KWeights),
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, null),
    };
}
