namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The label formats as type arguments.</summary>
internal static class LabelBits
{
    /// <summary>The type argument for <paramref name="format"/>.</summary>
    public static Type Of(LabelFormat format) => format switch
    {
        LabelFormat.F16 => typeof(Half),
        LabelFormat.Int8 => typeof(Eight),
        LabelFormat.Int4 => typeof(Four),
        LabelFormat.Int2 => typeof(Two),
        LabelFormat.Int1 => typeof(One),
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, null),
    };

    internal readonly struct Half : ILabelBits
    {
        public static int Bits => 16;
        public static int Pairs => 1;
        public static int ByteShift => 0;
    }

    internal readonly struct Eight : ILabelBits
    {
        public static int Bits => 8;
        public static int Pairs => 2;
        public static int ByteShift => 0;
    }

    internal readonly struct Four : ILabelBits
    {
        public static int Bits => 4;
        public static int Pairs => 4;
        public static int ByteShift => 1;
    }

    internal readonly struct Two : ILabelBits
    {
        public static int Bits => 2;
        public static int Pairs => 8;
        public static int ByteShift => 2;
    }

    internal readonly struct One : ILabelBits
    {
        public static int Bits => 1;
        public static int Pairs => 16;
        public static int ByteShift => 3;
    }
}
