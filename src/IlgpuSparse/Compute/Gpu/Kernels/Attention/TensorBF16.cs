using IlgpuSparse.Compute.Gpu.Kernels.Products;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>bfloat16 on tensor cores.</summary>
internal readonly struct TensorBF16 : ITensorElement
{
    public static bool NeedsScale => false;

    public static F4 Multiply(U4 a, U2 b, F4 c) => TensorOps.MultiplyBrain(a, b, c);

    public static void MultiplySlice(ref U4 memory, int x, int w) => WarpgroupOps.MultiplyBrain(ref memory, x, w);

    public static uint Pack(float low, float high) => TensorOps.PackBrain(low, high);

    public static float Low(uint pair) => Ptx.BrainLow(pair);

    public static float High(uint pair) => Ptx.BrainHigh(pair);
}
