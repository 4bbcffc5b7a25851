namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>The kinds of 16-bit numbers that tensor cores multiply, as type arguments.</summary>
internal static class TensorElements
{
    /// <summary>All of them.</summary>
    public static IReadOnlyList<Type> All { get; } = [typeof(TensorF16), typeof(TensorBF16)];

    /// <summary>That of K and V in <paramref name="format"/>, a format of 16 bits.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Another format.</exception>
    public static Type Of(KvFormat format) => format switch
    {
        KvFormat.F16 => typeof(TensorF16),
        KvFormat.BF16 => typeof(TensorBF16),
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "K and V of 16 bits are needed"),
    };
}
