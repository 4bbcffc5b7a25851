using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>An <see cref="IDigitCodec"/> as launchers see it.</summary>
/// <param name="Type">The codec.</param>
/// <param name="Units">See <see cref="IDigitCodec.Units"/>.</param>
internal sealed record DigitCodec(Type Type, int Units)
{
    /// <summary>Whether lanes copy its stages where no maps do (<see cref="LaneCopies"/>).</summary>
    public bool ByLanes => Type == typeof(Q4_KDigits);

    /// <summary>The codec of a format; null where <see cref="RowDigitKernel"/> has none.</summary>
    public static DigitCodec? Of(WeightFormat format) => format switch
    {
        WeightFormat.Q4_K => Describe<Q4_KDigits>(),
        WeightFormat.Q8_0 => Describe<Q8_0Digits>(),
        WeightFormat.Q4_0 => Describe<Q4_0Digits>(),
        WeightFormat.Q6_K => Describe<Q6_KDigits>(),
        _ => null,
    };

    private static DigitCodec Describe<T>() where T : struct, IDigitCodec => new(typeof(T), T.Units);
}
