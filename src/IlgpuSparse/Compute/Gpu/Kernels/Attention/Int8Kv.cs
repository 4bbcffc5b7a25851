using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Signed bytes, -127 to 127, with one scale a token and kv head.</summary>
internal readonly struct Int8Kv : IKvCodec
{
    public static int Shift => 2;

    public static bool Scaled => true;

    public static void Decode(uint word, float scale, ArrayView<float> target, int at)
    {
        for (int i = 0; i < 4; i++) target[at + i] = scale * ((int)(word << (24 - 8 * i)) >> 24);
    }

    public static uint Encode(ArrayView<float> source, long at, float inverse)
    {
        uint word = 0;
        for (int i = 0; i < 4; i++) word |= ((uint)Round(source[at + i] * inverse) & 0xffu) << (8 * i);
        return word;
    }

    // To nearest, ties to even, of |x| up to 127 and a rounding error. With integers: adding 1.5·2^23 would be contracted with the product into one rounding, another code than every other backend's once in some 2^19.
    private static int Round(float x)
    {
        uint bits = Interop.FloatAsInt(x), magnitude = bits & 0x7fffffffu, mantissa = (bits & 0x7fffffu) | 0x800000u;
        // places behind the point; what is below a quarter is zero at any of them
        int shift = 150 - (int)IntrinsicMath.Max(magnitude >> 23, 125u);
        int rounded = magnitude < 0x3e800000u ? 0 : (int)((mantissa + (1u << (shift - 1)) - 1u + ((mantissa >> shift) & 1u)) >> shift);
        return (bits & 0x80000000u) != 0u ? -rounded : rounded;
    }
}
