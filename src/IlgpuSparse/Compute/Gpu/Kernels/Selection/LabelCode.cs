using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>From a channel to its code.</summary>
internal static class LabelCode
{
    /// <summary>clamp(round(<paramref name="x"/>), 0, <paramref name="largest"/>), ties to even; 0 for what is not a number.</summary>
    public static uint Quantise(float x, int largest)
    {
        float inside = x > 0f ? x : 0f;
        return Nearest(inside < largest ? inside : largest);
    }

    [IntrinsicImplementation, PtxOp("cvt.rni.u32.f32 $r, $0;", Portable = nameof(NearestPortable))]
    private static uint Nearest(float x) => NearestPortable(x);

    private static uint NearestPortable(float x)
    {
        int whole = (int)x;
        float rest = x - whole;
        return (uint)(rest > 0.5f || (rest == 0.5f && (whole & 1) != 0) ? whole + 1 : whole);
    }
}
