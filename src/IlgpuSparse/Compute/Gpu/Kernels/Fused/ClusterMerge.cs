using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>Joins what the groups of a cluster have attended to, in the order of their ranks: each is sent its share of the outputs by all of them.</summary>
internal static class ClusterMerge
{
    /// <summary>
    /// From the warps' results in <paramref name="shared"/> memory (<see cref="WarpResult"/>) to <paramref name="y"/>. <paramref name="part"/> is shared memory for that which comes from all groups and is counted by <paramref name="barrier"/>: outputs <c>[rank, item of the share]</c>, shares rounded up,
    /// behind as many as <see cref="TensorDecodeKernel.MaxSlots"/> have the maxima and sums <c>[rank, slot, 2]</c>.
    /// </summary>
    public static void Run<THead, TPipeline, TCluster>(ArrayView<float> shared, ArrayView<float> part, ref ulong barrier, ArrayView<float> y, AttentionArgs args, SplitPlace place)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
        where TCluster : struct, IKernelCount
    {
        int items = place.Slots * THead.Channels, share = (items + TCluster.Value - 1) / TCluster.Value;
        int first = place.Split * share, end = Math.Min(first + share, items);
        if (TCluster.Value > 1 && Group.IdxX == 0) BulkCopy.Expect(ref barrier, TCluster.Value * (Math.Max(end - first, 0) + 2 * place.Slots) * sizeof(float));
        for (int item = Group.IdxX; item < items; item += Group.DimX)
        {
            int slot = item / THead.Channels, owner = item / share;
            var own = SplitMerge.Warps<THead, TPipeline>(shared, slot, item - slot * THead.Channels);
            ThreadCluster.Send<TCluster>(ref part[place.Split * share + item - owner * share], owner, own.Output, ref barrier);
            if (item == slot * THead.Channels)
            {
                for (int other = 0; other < TCluster.Value; other++)
                {
                    ThreadCluster.Send<TCluster>(ref part[Sums<THead>(place.Split, slot)], other, own.Max, ref barrier);
                    ThreadCluster.Send<TCluster>(ref part[Sums<THead>(place.Split, slot) + 1], other, own.Sum, ref barrier);
                }
            }
        }
        // When all have sent theirs, nobody reads or writes this group's memory any more, which may end.
        ThreadCluster.AwaitSent<TCluster>(ref barrier);

        for (int item = first + Group.IdxX; item < end; item += Group.DimX)
        {
            int slot = item / THead.Channels;
            float max = float.NegativeInfinity, total = 0f, result = 0f;
            for (int rank = 0; rank < TCluster.Value; rank++) max = IntrinsicMath.Max(max, part[Sums<THead>(rank, slot)]);
            for (int rank = 0; rank < TCluster.Value; rank++)
            {
                float sum = part[Sums<THead>(rank, slot) + 1];
                // a group without tokens has no maximum, and its outputs are zeros
                float factor = sum > 0f ? TensorOps.Exp2(part[Sums<THead>(rank, slot)] - max) : 0f;
                total += factor * sum;
                result += factor * part[rank * share + item - first];
            }
            y[(long)(place.Row * args.Heads + place.FirstHead) * THead.Channels + item] = total > 0f ? result / total : 0f;
        }
    }

    private static int Sums<THead>(int rank, int slot)
        where THead : struct, IHeadSize
        => TensorDecodeKernel.MaxSlots * THead.Channels + FusedStepKernel.MaxGroups + 2 * (rank * TensorDecodeKernel.MaxSlots + slot);
}
