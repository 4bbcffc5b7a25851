using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>The tokens of a set that a group of a cluster scores: whole units of a warp, of which the last group may have fewer or none.</summary>
internal struct ClusterSlice
{
    /// <summary>First token.</summary>
    public int Start;

    /// <summary>End of its tokens.</summary>
    public int End;

    /// <summary>Tokens that every group has room for.</summary>
    public int Length;

    /// <summary>The slice of this group, in units of <paramref name="unit"/> tokens.</summary>
    public static ClusterSlice Of<TCluster>(VisibleRange range, int unit)
        where TCluster : struct, IKernelCount
    {
        ClusterSlice slice;
        int origin = range.First & ~(unit - 1);
        slice.Length = FusedLayout.Slice(range.Last + 1 - origin, TCluster.Value, unit);
        slice.Start = origin + Grid.IdxX * slice.Length;
        slice.End = Math.Min(slice.Start + slice.Length, range.Last + 1);
        return slice;
    }
}
