using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>Joins what the groups of a cluster have attended to, each a share of the output, in the order of their ranks.</summary>
internal static class ClusterMerge
{
    /// <summary>
    /// From the warps' results in <paramref name="shared"/> memory (<see cref="WarpResult"/>) to <paramref name="y"/>. <paramref name="part"/> is shared memory for the group's outputs <c>[slot, channel]</c> and behind those of
    /// <see cref="TensorDecodeKernel.MaxSlots"/> its maxima and sums <c>[slot, 2]</c>; the others read it until the end of the kernel, which this is.
    /// </summary>
    public static void Run<THead, TPipeline, TCluster>(ArrayView<float> shared, ArrayView<float> part, ArrayView<float> y, AttentionArgs args, SplitPlace place)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
        where TCluster : struct, IClusterSize
    {
        for (int x = Group.IdxX; x < place.Slots * THead.Channels; x += Group.DimX)
        {
            int slot = x / THead.Channels, channel = x - slot * THead.Channels, sums = Sums<THead>(slot);
            var own = SplitMerge.Warps<THead, TPipeline>(shared, slot, channel);
            part[x] = own.Output;
            if (channel == 0)
            {
                part[sums] = own.Max;
                part[sums + 1] = own.Sum;
            }
        }
        var words = part.Cast<uint>();
        ThreadCluster.Sync<TCluster>(ref words[0]);

        int quads = THead.Channels >> 2, items = place.Slots * quads, share = items + (1 << TCluster.Shift) - 1 >> TCluster.Shift;
        int first = place.Split * share, end = Math.Min(first + share, items);
        var outputs = part.Cast<F4>();
        var pairs = part.Cast<F2>();
        var target = y.Cast<F4>();
        var output = new F4[TCluster.Slots];
        var sum = new F2[TCluster.Slots];
        for (int item = first + Group.IdxX; item < end; item += Group.DimX)
        {
            int slot = item / quads;
            for (int rank = 0; rank < TCluster.Slots; rank++)
            {
                if (rank < 1 << TCluster.Shift)
                {
                    output[rank] = ThreadCluster.Load<TCluster>(ref outputs[item], rank);
                    sum[rank] = ThreadCluster.Load<TCluster>(ref pairs[Sums<THead>(slot) >> 1], rank);
                }
            }
            float max = float.NegativeInfinity, total = 0f;
            for (int rank = 0; rank < TCluster.Slots; rank++)
            {
                if (rank < 1 << TCluster.Shift) max = IntrinsicMath.Max(max, sum[rank].X);
            }
            F4 result = default;
            for (int rank = 0; rank < TCluster.Slots; rank++)
            {
                if (rank < 1 << TCluster.Shift)
                {
                    // a group without tokens has no maximum, and its outputs are zeros
                    float factor = sum[rank].Y > 0f ? TensorOps.Exp2(sum[rank].X - max) : 0f;
                    total += factor * sum[rank].Y;
                    result.X += factor * output[rank].X;
                    result.Y += factor * output[rank].Y;
                    result.Z += factor * output[rank].Z;
                    result.W += factor * output[rank].W;
                }
            }
            float inverse = total > 0f ? 1f / total : 0f;
            result.X *= inverse;
            result.Y *= inverse;
            result.Z *= inverse;
            result.W *= inverse;
            target[(long)(place.Row * args.Heads + place.FirstHead) * quads + item] = result;
        }
        // nobody ends while another reads of it
        ThreadCluster.Sync<TCluster>(ref words[0]);
    }

    private static int Sums<THead>(int slot)
        where THead : struct, IHeadSize
        => TensorDecodeKernel.MaxSlots * THead.Channels + 2 * slot;
}
