using System.Numerics;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Conversion of fp32 rows to signed bytes with one scale, max |x| / 127.</summary>
internal static unsafe class Int8Rows
{
    /// <summary>Writes <paramref name="count"/> numbers, to nearest, ties to even; returns the scale, 0 for a row of zeros.</summary>
    public static float Write(float* source, sbyte* target, int count)
    {
        var largest = Vector<float>.Zero;
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count) largest = Vector.Max(largest, Vector.Abs(*(Vector<float>*)(source + i)));
        float max = 0;
        for (int lane = 0; lane < Vector<float>.Count; lane++) max = Math.Max(max, largest[lane]);
        for (; i < count; i++) max = Math.Max(max, Math.Abs(source[i]));
        float scale = max / 127f, inverse = scale > 0 ? 1 / scale : 0;
        for (i = 0; i < count; i++) target[i] = (sbyte)MathF.Round(source[i] * inverse);
        return scale;
    }
}
