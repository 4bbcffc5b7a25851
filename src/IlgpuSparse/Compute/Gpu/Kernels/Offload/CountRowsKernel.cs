using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>Counts the rows that dense attention reads in place, one thread a row of the step.</summary>
internal static class CountRowsKernel
{
    public const int GroupSize = 32;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true };

    /// <summary>Adds the tokens that each position sees, times <paramref name="kvHeads"/>, to <paramref name="counters"/> at <paramref name="counter"/>. <paramref name="window"/> is 0 for all.</summary>
    public static void Run(ArrayView<int> positions, ArrayView<long> counters, int counter, int rows, int kvHeads, int window)
    {
        int row = Grid.IdxX * Group.DimX + Group.IdxX;
        if (row < rows)
        {
            int visible = positions[row] + 1;
            if (window > 0) visible = IntrinsicMath.Min(visible, window);
            Atomic.Add(ref counters[counter], (long)visible * kvHeads);
        }
    }
}
