using ILGPU;
using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Half precision as 16-bit integers.</summary>
internal static class HalfBits
{
    /// <summary>The nearest half, ties to even, in the low 16 bits.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b16 hr; cvt.rn.f16.f32 hr, $0; cvt.u32.u16 $r, hr; }", Portable = nameof(RoundPortable))]
    public static uint Round(float x) => RoundPortable(x);

    private static uint RoundPortable(float x)
    {
        uint bits = Interop.FloatAsInt(x);
        uint sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
        uint half;
        if (magnitude > 0x7f800000u) half = 0x7e00u;
        else if (magnitude >= 0x47800000u) half = 0x7c00u;
        // the addition rounds to a multiple of 2^-24, the unit of subnormal halves
        else if (magnitude < 0x38800000u) half = Interop.FloatAsInt(Interop.IntAsFloat(magnitude) + 0.5f) - 0x3f000000u;
        else half = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
        return sign | half;
    }
}
