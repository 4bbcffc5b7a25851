using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>
/// How the groups of a cluster share a set's tokens out, in whole tiles: all have as many, but the last one, which has the open tokens and ranks them first, as many fewer as the others attend to meanwhile.
/// </summary>
internal static class ClusterShares
{
    /// <summary>The first token of group number <paramref name="group"/> in a set of <paramref name="budget"/>, or where those of the group before it end.</summary>
    public static int First<TCluster>(int group, int budget)
        where TCluster : struct, IKernelCount =>
        group == TCluster.Value ? budget : Shared(budget) * group / TCluster.Value << 4;

    /// <summary>The group that attends to an entry of a set: the last whose first tile, shared · group / groups, is not behind the entry's, which is ((tile + 1) · groups - 1) / shared.</summary>
    public static int Owner<TCluster>(int entry, int budget)
        where TCluster : struct, IKernelCount =>
        TCluster.Value == 1 ? 0 : (((entry >> 4) + 1) * TCluster.Value - 1) / Shared(budget);

    /// <summary>Most tokens that one of so many groups attends to of a set of <paramref name="budget"/>, rounded up to whole tiles.</summary>
    public static int Room(int budget, int groups) => groups == 1 ? Tiles(budget) << 4 : (Shared(budget) + groups - 1) / groups << 4;

    private static int Tiles(int budget) => budget + TensorDecodeKernel.TileTokens - 1 >> 4;

    // Tiles that all groups would have as many of: with those that one attends to while another ranks, some 3 µs on an H100 if 4096 tokens are selected, a thirty-second. Of small sets few tokens are open, and groups have a tile a warp, and not one more.
    private static int Shared(int budget) => Tiles(budget) + (Tiles(budget) >> 7 << 2);
}
