using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Joins softmax sums: the warps of a group, and the splits of a set by the group that arrives last. In index order, so that results do not depend on timing.</summary>
internal static class SplitMerge
{
    // loads of one thread under way at once
    private const int Batch = 8;

    /// <summary>
    /// The group's warps, from <see cref="WarpResult"/>, into <paramref name="partials"/>, or into <paramref name="y"/> when there is only this split.
    /// </summary>
    public static void Group<THead, TPipeline>(ArrayView<float> shared, ArrayView<float> y, ArrayView<float> partials, ArrayView<float> sums, AttentionArgs args, SplitPlace place)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
    {
        int head = place.Row * args.Heads + place.FirstHead;
        for (int x = ILGPU.Group.IdxX; x < place.Slots * THead.Channels; x += 32 << TPipeline.WarpShift)
        {
            int slot = x / THead.Channels, channel = x - slot * THead.Channels;
            var part = Warps<THead, TPipeline>(shared, slot, channel);
            if (place.Splits == 1)
            {
                y[(long)(head + slot) * THead.Channels + channel] = part.Sum > 0f ? part.Output / part.Sum : 0f;
            }
            else
            {
                long at = (long)(head + slot) * Grid.DimX + place.Split;
                partials[at * THead.Channels + channel] = part.Output;
                if (channel == 0)
                {
                    sums[2 * at] = part.Max;
                    sums[2 * at + 1] = part.Sum;
                }
            }
        }
    }

    /// <summary>One number of the group's warps together, from <see cref="WarpResult"/>.</summary>
    public static SoftmaxPart Warps<THead, TPipeline>(ArrayView<float> shared, int slot, int channel)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
    {
        SoftmaxPart part;
        part.Max = float.NegativeInfinity;
        for (int w = 0; w < 1 << TPipeline.WarpShift; w++) part.Max = IntrinsicMath.Max(part.Max, shared[WarpResult.Sums<THead, TPipeline>(w, slot)]);
        part.Sum = 0f;
        part.Output = 0f;
        for (int w = 0; w < 1 << TPipeline.WarpShift; w++)
        {
            int at = WarpResult.Sums<THead, TPipeline>(w, slot);
            // a warp without tiles has no maximum, and its outputs are zeros
            float factor = shared[at + 1] > 0f ? TensorOps.Exp2(shared[at] - part.Max) : 0f;
            part.Sum += factor * shared[at + 1];
            part.Output += factor * shared[(w * TensorDecodeKernel.MaxSlots + slot) * THead.Channels + channel];
        }
        return part;
    }

    /// <summary>Counts this group in, and merges all splits when it is the last.</summary>
    public static void Last<THead, TPipeline>(ArrayView<U4> memory, ArrayView<float> y, ArrayView<float> partials, ArrayView<float> sums, ArrayView<int> arrivals, AttentionArgs args, SplitPlace place)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
    {
        var flag = SharedMemory.Allocate<uint>(1);
        if (Arrival.IsLast(ref arrivals[place.Set], place.Splits, ref flag[0])) Sum<THead, TPipeline>(memory, y, partials, sums, args, place);
    }

    // Each split's factor exp2(max - overall max) / overall sum, in shared memory [slot, split]; as many words behind them are used meanwhile.
    private static void Weights<TPipeline>(ArrayView<float> shared, ArrayView<float> sums, AttentionArgs args, SplitPlace place)
        where TPipeline : struct, IPipeline
    {
        int lane = ILGPU.Group.IdxX & 31;
        for (int slot = ILGPU.Group.IdxX >> 5; slot < place.Slots; slot += 1 << TPipeline.WarpShift)
        {
            long from = (long)(place.Row * args.Heads + place.FirstHead + slot) * Grid.DimX;
            int to = slot * place.Splits, own = to + place.Slots * place.Splits;
            var pairs = sums.Cast<F2>();
            float max = float.NegativeInfinity;
            for (int s = lane; s < place.Splits; s += 32)
            {
                // read once from memory: the way there is what the merge takes its time for
                var pair = Loads.Fresh(ref pairs[from + s]);
                shared[to + s] = pair.X;
                shared[own + s] = pair.Y;
                max = IntrinsicMath.Max(max, pair.X);
            }
            for (int step = 0; step < 5; step++) max = IntrinsicMath.Max(max, Warp.ShuffleXor(max, 1 << step));
            float total = 0f;
            for (int s = lane; s < place.Splits; s += 32)
            {
                float sum = shared[own + s];
                float factor = sum > 0f ? TensorOps.Exp2(shared[to + s] - max) : 0f;
                shared[to + s] = factor;
                total += factor * sum;
            }
            for (int step = 0; step < 5; step++) total += Warp.ShuffleXor(total, 1 << step);
            float inverse = total > 0f ? 1f / total : 0f;
            for (int s = lane; s < place.Splits; s += 32) shared[to + s] *= inverse;
        }
        ILGPU.Group.Barrier();
    }

    /// <summary>Merges all splits, which have been counted in.</summary>
    /// <remarks>Four channels a thread; where they are too few to occupy the group, several threads share them and take every n-th split each.</remarks>
    public static void Sum<THead, TPipeline>(ArrayView<U4> memory, ArrayView<float> y, ArrayView<float> partials, ArrayView<float> sums, AttentionArgs args, SplitPlace place)
        where THead : struct, IHeadSize
        where TPipeline : struct, IPipeline
    {
        var weights = memory.Cast<float>();
        var shared = memory.Cast<F4>();
        int sharedStart = (place.Slots * place.Splits + 3) >> 2;
        int threads = 32 << TPipeline.WarpShift, quads = THead.Channels >> 2, items = place.Slots * quads;
        int shares = IntrinsicMath.Max(1, threads / items);
        int share = ILGPU.Group.IdxX / items;
        var source = partials.Cast<F4>();
        var target = y.Cast<F4>();
        long head = place.Row * args.Heads + place.FirstHead;
        int item = ILGPU.Group.IdxX - share * items;
        // the first parts are on their way while their weights are found out
        var part = new F4[Batch];
        Load(source, head, item, quads, share, shares, place, part);
        Weights<TPipeline>(weights, sums, args, place);
        while (item < items && share < shares)
        {
            int slot = item / quads;
            F4 sum = default;
            for (int start = share; start < place.Splits; start += Batch * shares)
            {
                if (start != share) Load(source, head, item, quads, start, shares, place, part);
                for (int b = 0; b < Batch; b++)
                {
                    int s = start + b * shares;
                    float weight = s < place.Splits ? weights[slot * place.Splits + IntrinsicMath.Min(s, place.Splits - 1)] : 0f;
                    sum.X += weight * part[b].X;
                    sum.Y += weight * part[b].Y;
                    sum.Z += weight * part[b].Z;
                    sum.W += weight * part[b].W;
                }
            }
            if (shares == 1) target[(head + slot) * quads + (item - slot * quads)] = sum;
            else shared[sharedStart + share * items + item] = sum;
            item += threads;
            if (item < items) Load(source, head, item, quads, share, shares, place, part);
        }
        if (shares > 1)
        {
            ILGPU.Group.Barrier();
            item = ILGPU.Group.IdxX;
            if (item < items)
            {
                F4 sum = default;
                for (int i = 0; i < shares; i++)
                {
                    var other = shared[sharedStart + i * items + item];
                    sum.X += other.X;
                    sum.Y += other.Y;
                    sum.Z += other.Z;
                    sum.W += other.W;
                }
                target[head * quads + item] = sum;
            }
        }
    }

    // A batch of an item's parts, every shares-th split from the given one on; beyond the last split the last one again.
    private static void Load(ArrayView<F4> source, long head, int item, int quads, int start, int shares, SplitPlace place, F4[] part)
    {
        int slot = IntrinsicMath.Min(item / quads, place.Slots - 1);
        long from = (head + slot) * Grid.DimX * quads + item - item / quads * quads;
        for (int b = 0; b < Batch; b++) part[b] = Loads.Fresh(ref source[from + (long)IntrinsicMath.Min(start + b * shares, place.Splits - 1) * quads]);
    }
}
