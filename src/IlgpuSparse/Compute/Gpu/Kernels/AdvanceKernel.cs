using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>positions += 1, one thread a row.</summary>
internal static class AdvanceKernel
{
    public const int GroupSize = 32;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize);

    public static void Run(ArrayView<int> positions, int rows)
    {
        int row = Grid.IdxX * Group.DimX + Group.IdxX;
        if (row < rows) positions[row] = positions[row] + 1;
    }
}
