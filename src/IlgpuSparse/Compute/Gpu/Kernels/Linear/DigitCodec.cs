using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>An <see cref="IDigitCodec"/> as launchers see it.</summary>
/// <param name="Type">The codec.</param>
/// <param name="Units">See <see cref="IDigitCodec.Units"/>.</param>
/// <param name="Stride">See <see cref="IDigitCodec.Stride"/>.</param>
/// <param name="Octs">See <see cref="IDigitCodec.Octs"/>.</param>
internal sealed record DigitCodec(Type Type, int Units, int Stride, int Octs)
{
    /// <summary>The codec of a format; null where <see cref="RowDigitKernel"/> has none.</summary>
    public static DigitCodec? Of(WeightFormat format) => format switch
    {
        WeightFormat.Q8_0 => Describe<Q8_0Digits>(),
        WeightFormat.Q4_K => Describe<Q4_KDigits>(),
        _ => null,
    };

    /// <summary>Stages of a row.</summary>
    public int RowStages(int columns) => (columns / 8 + Octs - 1) / Octs;

    private static DigitCodec Describe<T>() where T : struct, IDigitCodec => new(typeof(T), T.Units, T.Stride, T.Octs);
}
