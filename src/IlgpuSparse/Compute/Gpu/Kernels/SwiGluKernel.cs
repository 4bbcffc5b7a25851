using ILGPU;
using ILGPU.Algorithms;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>gate = silu(gate) · up, one thread a number.</summary>
internal static class SwiGluKernel
{
    public const int GroupSize = 128;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize);

    public static void Run(ArrayView<float> gate, ArrayView<float> up, long count)
    {
        long i = (long)Grid.IdxX * Group.DimX + Group.IdxX;
        if (i < count)
        {
            float g = gate[i];
            gate[i] = g / (1f + XMath.Exp(-g)) * up[i];
        }
    }
}
