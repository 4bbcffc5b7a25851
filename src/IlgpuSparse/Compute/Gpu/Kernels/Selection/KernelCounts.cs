namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Numbers as type arguments.</summary>
internal static class KernelCounts
{
    /// <summary>The type argument for <paramref name="value"/>: 3, 5, 6, 0 or a power of two up to 32.</summary>
    public static Type Of(int value) => value switch
    {
        0 => typeof(N0),
        1 => typeof(N1),
        2 => typeof(N2),
        3 => typeof(N3),
        4 => typeof(N4),
        5 => typeof(N5),
        6 => typeof(N6),
        8 => typeof(N8),
        16 => typeof(N16),
        32 => typeof(N32),
        _ => throw new ArgumentOutOfRangeException(nameof(value), value, null),
    };

    internal readonly struct N0 : IKernelCount
    {
        public static int Value => 0;
        public static int Slots => 2;
    }

    internal readonly struct N1 : IKernelCount
    {
        public static int Value => 1;
        public static int Slots => 2;
    }

    internal readonly struct N2 : IKernelCount
    {
        public static int Value => 2;
        public static int Slots => 2;
    }

    internal readonly struct N3 : IKernelCount
    {
        public static int Value => 3;
        public static int Slots => 3;
    }

    internal readonly struct N4 : IKernelCount
    {
        public static int Value => 4;
        public static int Slots => 4;
    }

    internal readonly struct N5 : IKernelCount
    {
        public static int Value => 5;
        public static int Slots => 8;
    }

    internal readonly struct N6 : IKernelCount
    {
        public static int Value => 6;
        public static int Slots => 6;
    }

    internal readonly struct N8 : IKernelCount
    {
        public static int Value => 8;
        public static int Slots => 8;
    }

    internal readonly struct N16 : IKernelCount
    {
        public static int Value => 16;
        public static int Slots => 16;
    }

    internal readonly struct N32 : IKernelCount
    {
        public static int Value => 32;
        public static int Slots => 32;
    }
}
