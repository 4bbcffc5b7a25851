using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Rounding to 16-bit floats with integers alone, as all accelerators can: to nearest, ties to even.</summary>
internal static class KvBits
{
    /// <summary>The bits of <paramref name="value"/> in half precision; infinity beyond 65504.</summary>
    public static uint Half(float value)
    {
        uint bits = Interop.FloatAsInt(value);
        uint sign = (bits >> 16) & 0x8000u;
        uint magnitude = bits & 0x7fffffffu;
        // below 2^-14 the half is a multiple of 2^-24: adding 0.5 puts that unit at the float's last place, where the addition itself rounds
        uint small = Interop.FloatAsInt(Interop.IntAsFloat(magnitude) + 0.5f) - 0x3f000000u;
        uint normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
        uint large = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
        uint half = magnitude < 0x38800000u ? small : magnitude < 0x477ff000u ? normal : large;
        return sign | half;
    }

    /// <summary>The bits of <paramref name="value"/> as bfloat16.</summary>
    public static uint Brain(float value)
    {
        uint bits = Interop.FloatAsInt(value);
        uint rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
        return (bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : rounded;
    }

    /// <summary>Two numbers as by <see cref="Half"/>, the first in the low half.</summary>
    public static uint Halves(float low, float high) => Half(low) | (Half(high) << 16);

    /// <summary>Two numbers as by <see cref="Brain"/>, the first in the low half.</summary>
    public static uint Brains(float low, float high) => Brain(low) | (Brain(high) << 16);
}
