using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>Counts over all groups of a cluster, each of which has its own in shared memory.</summary>
internal readonly struct ClusterBins<TCluster> : IBinCounts
    where TCluster : struct, IClusterSize
{
    public static uint One(ArrayView<uint> counts, long place)
    {
        uint sum = 0;
        for (int rank = 0; rank < TCluster.Slots; rank++)
        {
            if (rank < 1 << TCluster.Shift) sum += ThreadCluster.Load<TCluster>(ref counts[place], rank);
        }
        return sum;
    }

    public static U2 Two(ArrayView<uint> counts, long place)
    {
        var pairs = counts.Cast<U2>();
        U2 sum = default;
        for (int rank = 0; rank < TCluster.Slots; rank++)
        {
            if (rank < 1 << TCluster.Shift)
            {
                var pair = ThreadCluster.Load<TCluster>(ref pairs[place >> 1], rank);
                sum.X += pair.X;
                sum.Y += pair.Y;
            }
        }
        return sum;
    }

    /// <summary>
    /// Leaves in <paramref name="shares"/> how many of each group's tokens lie in bins before <paramref name="bin"/>, and in the upper half how many in it. A warp counts for a group; all threads see it after a barrier.
    /// </summary>
    public static void Share(ArrayView<uint> counts, int bin, ArrayView<uint> shares)
    {
        int lane = Group.IdxX & 31, group = bin / ScoreBins.GroupBins, low = group * ScoreBins.GroupBins + 2 * lane;
        for (int rank = Group.IdxX >> 5; rank < 1 << TCluster.Shift; rank += Group.DimX >> 5)
        {
            uint before = ThreadCluster.Load<TCluster>(ref counts[ScoreBins.Bins + lane], rank);
            var pair = ThreadCluster.Load<TCluster>(ref counts.Cast<U2>()[low >> 1], rank);
            before = lane < group ? before : 0u;
            before += (low < bin ? pair.X : 0u) + (low + 1 < bin ? pair.Y : 0u);
            uint open = (low == bin ? pair.X : 0u) + (low + 1 == bin ? pair.Y : 0u);
            uint share = GroupScan.WarpSum(before + (open << 16));
            if (lane == 0) shares[rank] = share;
        }
    }
}
