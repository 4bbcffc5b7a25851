namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>The head sizes that have kernels of their own; others run on the portable kernels.</summary>
internal static class HeadSizes
{
    /// <summary>Channels a head.</summary>
    public static IReadOnlyList<int> All { get; } = [64, 80, 96, 128, 256];

    /// <summary>The type that makes the size a constant of a kernel.</summary>
    public static Type Of(int channels) => channels switch
    {
        64 => typeof(Head64),
        80 => typeof(Head80),
        96 => typeof(Head96),
        128 => typeof(Head128),
        256 => typeof(Head256),
        _ => throw new ArgumentOutOfRangeException(nameof(channels), channels, "no kernels for this head size"),
    };
}
