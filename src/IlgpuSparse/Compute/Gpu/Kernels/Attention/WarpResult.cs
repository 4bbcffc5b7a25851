using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>What a warp leaves in shared memory: unnormalised outputs <c>[warp, slot, channel]</c>, then maxima and sums <c>[warp, slot, 2]</c>, fp32.</summary>
internal static class WarpResult
{
    /// <summary>Writes a warp's output fragments: lane l has channels l / 4 and + 8 of each 16 for slots 2(l mod 4) and + 1.</summary>
    public static void Store<THead, TPipeline>(ArrayView<float> shared, F4[] output, float max0, float max1, float sum0, float sum1, int slots)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
    {
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5;
        int slot = (lane & 3) * 2, channel = lane >> 2;
        int first = (warp * TensorDecodeKernel.MaxSlots + slot) * THead.Channels + channel;
        if (slot < slots)
        {
            for (int k = 0; k < THead.Channels >> 4; k++)
            {
                shared[first + 16 * k] = output[k].X;
                shared[first + 16 * k + 8] = output[k].Z;
            }
        }
        if (slot + 1 < slots)
        {
            for (int k = 0; k < THead.Channels >> 4; k++)
            {
                shared[first + THead.Channels + 16 * k] = output[k].Y;
                shared[first + THead.Channels + 16 * k + 8] = output[k].W;
            }
        }
        if (channel == 0) StoreSums<THead, TPipeline>(shared, warp, slot, max0, max1, sum0, sum1);
    }

    /// <summary>As <see cref="Store"/>, of fragments that hold channels 2(l / 4) and + 1 of each 16.</summary>
    public static void StorePairs<THead, TPipeline>(ArrayView<float> shared, F4[] output, float max0, float max1, float sum0, float sum1, int slots)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
    {
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5;
        int slot = (lane & 3) * 2, row = lane >> 2;
        var pairs = shared.Cast<F2>();
        int first = ((warp * TensorDecodeKernel.MaxSlots + slot) * THead.Channels >> 1) + row;
        F2 pair;
        if (slot < slots)
        {
            for (int k = 0; k < THead.Channels >> 4; k++)
            {
                pair.X = output[k].X;
                pair.Y = output[k].Z;
                pairs[first + 8 * k] = pair;
            }
        }
        if (slot + 1 < slots)
        {
            for (int k = 0; k < THead.Channels >> 4; k++)
            {
                pair.X = output[k].Y;
                pair.Y = output[k].W;
                pairs[first + (THead.Channels >> 1) + 8 * k] = pair;
            }
        }
        if (row == 0) StoreSums<THead, TPipeline>(shared, warp, slot, max0, max1, sum0, sum1);
    }

    // Of a slot and the next one.
    private static void StoreSums<THead, TPipeline>(ArrayView<float> shared, int warp, int slot, float max0, float max1, float sum0, float sum1)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
    {
        int at = Sums<THead, TPipeline>(warp, slot);
        shared[at] = max0;
        shared[at + 1] = sum0;
        shared[at + 2] = max1;
        shared[at + 3] = sum1;
    }

    /// <summary>Where a warp's maximum and sum of a slot lie.</summary>
    public static int Sums<THead, TPipeline>(int warp, int slot)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
        => (TensorDecodeKernel.MaxSlots * THead.Channels << TPipeline.WarpShift) + (warp * TensorDecodeKernel.MaxSlots + slot) * 2;
}
