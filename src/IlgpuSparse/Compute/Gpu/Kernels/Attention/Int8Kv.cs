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

    // To nearest, ties to even: adding 1.5·2^23 leaves the integer in the low bits. |x| is at most 127 and a rounding error.
    private static int Round(float x) => (int)(Interop.FloatAsInt(x + 12582912f) & 0x7fffffu) - 0x400000;
}
