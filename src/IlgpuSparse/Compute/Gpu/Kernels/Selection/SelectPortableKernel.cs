using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary><see cref="WholeSet"/> for any accelerator.</summary>
internal static class SelectPortableKernel
{
    public const int GroupSize = 64;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize);

    /// <summary>Grid (sets, rows).</summary>
    public static void Run(SelectView select)
    {
        var shared = SharedMemory.Allocate<uint>(386); // WholeSet.Words(GroupSize), which a kernel cannot call for a size
        int row = Grid.IdxY;
        WholeSet.Select(select, VisibleRange.Of(select, row), (long)row * Grid.DimX + Grid.IdxX, shared, GroupSize);
    }
}
