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

    private static float RsqrtPortable(float x) => 1f / XMath.Sqrt(x);
}
