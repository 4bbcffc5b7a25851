using IlgpuSparse.Compute.Gpu.Kernels.Products;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Half precision on tensor cores.</summary>
internal readonly struct TensorF16 : ITensorElement
{
    public static bool NeedsScale => true;

    public static F4 Multiply(U4 a, U2 b, F4 c) => TensorOps.MultiplyHalf(a, b, c);

    public static void MultiplySlice(ref U4 memory, int x, int w) => WarpgroupOps.MultiplyHalf(ref memory, x, w);

    public static uint Pack(float low, float high) => TensorOps.PackHalf(low, high);

    public static float Low(uint pair) => Ptx.HalfLow(pair);

    public static float High(uint pair) => Ptx.HalfHigh(pair);
}
