using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>
/// Dynamic shared memory of <see cref="FusedStepKernel"/>, in units of 16 bytes: the histogram, open tokens, what the groups send of the outputs and of their histograms, the list of tokens to attend to; then scores, over which the kept tokens are laid, and their bits, in
/// whose place the rings come.
/// </summary>
internal static class FusedLayout
{
    /// <summary>Open tokens that are ranked here.</summary>
    public const int MaxOpen = 1024;

    /// <summary>Units of the histogram.</summary>
    public const int Counts = ScoreBins.Bins / 4;

    /// <summary>Where the words are that count what groups send.</summary>
    public const int Barriers = Counts + (MaxOpen + SetFilter.OpenPadding) / 2;

    /// <summary>Numbers of those words: of tokens, of outputs, and two of histograms.</summary>
    public const int ListBarrier = 0, OutputBarrier = 1, BinBarrier = 2;

    /// <summary>How many there are, of eight bytes each.</summary>
    public const int BarrierCount = BinBarrier + 2;

    /// <summary>Where what the groups send of the outputs begins. Each thing that is sent has a place of its own: nobody waits until a group has read what came before.</summary>
    public const int Outputs = Barriers + BarrierCount / 2;

    /// <summary>Where what they send of their histograms begins, behind the outputs, for heads of <paramref name="channels"/>: those of eight query heads in shares that are rounded up, and two numbers for each of sixteen groups' heads (<see cref="ClusterMerge"/>).</summary>
    public static int Bins(int channels) => Outputs + (TensorDecodeKernel.MaxSlots * channels + FusedStepKernel.MaxGroups + 2 * FusedStepKernel.MaxGroups * TensorDecodeKernel.MaxSlots) / 4;

    /// <summary>Where the list begins, for clusters of <paramref name="groups"/>.</summary>
    public static int List(int channels, int groups) => Bins(channels) + groups * ClusterBins.Units;

    /// <summary>Units of scores and bits of a slice.</summary>
    public static int ScoreUnits(int slice, int warps)
    {
        int parts = (SetSlice.Stretch(slice, warps) + SetFilter.WarpTokens - 1) / SetFilter.WarpTokens;
        return slice / 4 + parts * warps * 32 * 2 / 4;
    }
}
