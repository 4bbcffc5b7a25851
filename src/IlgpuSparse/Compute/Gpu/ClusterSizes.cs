namespace IlgpuSparse.Compute.Gpu;

/// <summary>The sizes of clusters that there are kernels for.</summary>
internal static class ClusterSizes
{
    /// <summary>All of them, the smallest first.</summary>
    public static IReadOnlyList<int> All { get; } = [1, 2, 4, 8, 16];

    /// <summary>The type argument for clusters of <paramref name="groups"/>.</summary>
    public static Type Of(int groups) => groups switch
    {
        1 => typeof(One),
        2 => typeof(Two),
        4 => typeof(Four),
        8 => typeof(Eight),
        16 => typeof(Sixteen),
        _ => throw new ArgumentOutOfRangeException(nameof(groups), groups, null),
    };

    internal readonly struct One : IClusterSize
    {
        public static int Shift => 0;
        public static int Slots => 2;
    }

    internal readonly struct Two : IClusterSize
    {
        public static int Shift => 1;
        public static int Slots => 2;
    }

    internal readonly struct Four : IClusterSize
    {
        public static int Shift => 2;
        public static int Slots => 4;
    }

    internal readonly struct Eight : IClusterSize
    {
        public static int Shift => 3;
        public static int Slots => 8;
    }

    internal readonly struct Sixteen : IClusterSize
    {
        public static int Shift => 4;
        public static int Slots => 16;
    }
}
