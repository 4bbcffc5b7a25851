using ILGPU;
using ILGPU.Algorithms;
using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>Single instructions that ILGPU has no method for, with portable forms. Operations that belong to one kernel lie beside that kernel instead.</summary>
internal static class Ptx
{
    /// <summary>1/√x to 2 ulp.</summary>
    [IntrinsicImplementation, PtxOp("rsqrt.approx.ftz.f32 $r, $0;", Portable = nameof(RsqrtPortable))]
    public static float Rsqrt(float x) => RsqrtPortable(x);

    /// <summary>a · b, rounded whatever follows: never fused with an addition, in one kernel and not in another.</summary>
    [IntrinsicImplementation, PtxOp("mul.rn.f32 $r, $0, $1;", Portable = nameof(ProductPortable))]
    public static float Product(float a, float b) => ProductPortable(a, b);

    /// <summary>The half-precision number in the low 16 bits.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b16 hl, hh; mov.b32 {hl, hh}, $0; cvt.f32.f16 $r, hl; }", Portable = nameof(HalfLowPortable))]
    public static float HalfLow(uint packed) => HalfLowPortable(packed);

    /// <summary>The half-precision number in the high 16 bits.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b16 hl, hh; mov.b32 {hl, hh}, $0; cvt.f32.f16 $r, hh; }", Portable = nameof(HalfHighPortable))]
    public static float HalfHigh(uint packed) => HalfHighPortable(packed);

    /// <summary>The bfloat16 number in the low 16 bits.</summary>
    public static float BrainLow(uint packed) => Interop.IntAsFloat(packed << 16);

    /// <summary>The bfloat16 number in the high 16 bits.</summary>
    public static float BrainHigh(uint packed) => Interop.IntAsFloat(packed & 0xffff0000u);

    private static float ProductPortable(float a, float b) => a * b;

    private static float RsqrtPortable(float x) => 1f / XMath.Sqrt(x);

    // Exponent and mantissa moved into a float's place, then the bias corrected by a product, which is exact for subnormal halves too. Finite numbers only.
    private static float HalfLowPortable(uint packed)
    {
        float magnitude = Interop.IntAsFloat((packed & 0x7fffu) << 13) * 5.192296858534828e33f; // 2^112
        return Interop.IntAsFloat(Interop.FloatAsInt(magnitude) | ((packed & 0x8000u) << 16));
    }

    private static float HalfHighPortable(uint packed) => HalfLowPortable(packed >> 16);
}
