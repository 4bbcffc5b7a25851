using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>
/// Dynamic shared memory of <see cref="FusedStepKernel"/>, in units of 16 bytes: the histogram (afterwards what the groups send of the outputs), open tokens, the list of tokens to attend to; then scores, over which the kept tokens are laid, and their bits, in
/// whose place the rings come.
/// </summary>
internal static class FusedLayout
{
    /// <summary>Open tokens that are ranked here.</summary>
    public const int MaxOpen = 1024;

    /// <summary>Units of the histogram and, afterwards, of what <see cref="ClusterMerge"/> needs: 2048 numbers of eight query heads in shares that are rounded up, and two for each of sixteen groups' heads.</summary>
    public const int Counts = (2048 + FusedStepKernel.MaxGroups + 2 * FusedStepKernel.MaxGroups * TensorDecodeKernel.MaxSlots) / 4;

    /// <summary>Where the list begins, behind the open tokens.</summary>
    public const int List = Counts + (MaxOpen + SetFilter.OpenPadding) / 2;

    /// <summary>Units of scores and bits of a slice.</summary>
    public static int ScoreUnits(int slice, int warps)
    {
        int parts = (SetSlice.Stretch(slice, warps) + SetFilter.WarpTokens - 1) / SetFilter.WarpTokens;
        return slice / 4 + parts * warps * 32 * 2 / 4;
    }
}
