using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>
/// Takes out of the lists of a step the rows that would have to come over the bus late and whose estimated mass is small beside the average of their list: what is on the device by then stays, and so does what weighs. The order stays, too.
/// Masses are integers (<see cref="TokenMass"/>), so that sums do not depend on the order of threads.
/// </summary>
internal static class DropKernel
{
    public const int GroupSize = 1024;

    private const int Parts = 32;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true };

    /// <summary>Grid (1, lists, rows): a group has a list. <paramref name="shares"/> <c>[row, set]</c> become those of what is left.</summary>
    public static void Run(ArrayView<int> tokens, ArrayView<int> counts, ArrayView<float> shares, ArrayView<float> scores, ArrayView<int> blocks, ArrayView<int> residents, HotView hot, AheadView ahead, FetchArgs args, DropArgs drop)
    {
        var largest = SharedMemory.Allocate<float>(GroupSize);
        var sums = SharedMemory.Allocate<ulong>(GroupSize);
        var kept = SharedMemory.Allocate<int>(GroupSize);
        var parts = SharedMemory.Allocate<ulong>(Parts);
        int thread = Group.IdxX, set = Grid.IdxY, row = Grid.IdxZ, list = row * args.Sets + set, count = counts[list];
        long first = (long)list * args.Capacity, scored = (long)list * drop.ScoreCapacity;
        float maximum = float.NegativeInfinity;
        for (int entry = thread; entry < count; entry += Group.DimX)
        {
            float score = scores[scored + tokens[first + entry]];
            if (score > maximum) maximum = score;
        }
        largest[thread] = maximum;
        Group.Barrier();
        for (int half = GroupSize / 2; half > 0; half >>= 1)
        {
            if (thread < half && thread + half < Group.DimX && largest[thread + half] > largest[thread]) largest[thread] = largest[thread + half];
            Group.Barrier();
        }
        maximum = largest[0];
        ulong mass = 0;
        for (int entry = thread; entry < count; entry += Group.DimX) mass += TokenMass.Weight(scores[scored + tokens[first + entry]], maximum, drop.MassScale);
        ulong all = Sum(mass, sums, parts);
        // both sides times the tokens, in units of 2^-16: a list of nothing but equal rows is fetched with 1
        ulong least = (all >> 16) * drop.Least + (((all & 0xffffu) * drop.Least) >> 16);
        int end = 0;
        mass = 0;
        for (int start = 0; start < count; start += Group.DimX)
        {
            int entry = start + thread, token = 0, stays = 0;
            if (entry < count)
            {
                token = tokens[first + entry];
                ulong weight = TokenMass.Weight(scores[scored + token], maximum, drop.MassScale);
                if (token < drop.Sinks || weight * (ulong)count >= least || IsThere(token, row, set, list, blocks, residents, hot, ahead, args)) stays = 1;
                if (stays != 0) mass += weight;
            }
            int before = Before(stays, kept, parts, out int together);
            // places that have been read, in this round or before
            if (stays != 0) tokens[first + end + before] = token;
            end += together;
        }
        ulong left = Sum(mass, sums, parts);
        if (thread == 0)
        {
            counts[list] = end;
            if (drop.HasShares != 0) shares[list] = shares[list] * MassSearch.Ratio(left, all);
            if (end < count) Atomic.Add(ref hot.Counters[FetchKernel.DroppedRows], (long)(count - end));
        }
    }

    // Whether a row is on the device: in a resident block, hot, or brought ahead.
    private static bool IsThere(int token, int row, int set, int list, ArrayView<int> blocks, ArrayView<int> residents, HotView hot, AheadView ahead, FetchArgs args)
    {
        int at = row * args.MaxBlocks + (token >> KvLayer.BlockShift);
        bool there = residents[at] >= 0;
        if (!there && args.Buckets > 0)
        {
            uint tag = (uint)((blocks[at] << KvLayer.BlockShift) + (token & (KvLayer.BlockTokens - 1)));
            var ways = hot.Tags.Cast<U4>()[set / args.SetsPerKvHead * args.Buckets + (int)(tag % (uint)args.Buckets)];
            there = ways.X == tag || ways.Y == tag || ways.Z == tag || ways.W == tag;
        }
        if (!there)
        {
            int slot = ahead.Places[(long)list * ahead.Width + token];
            if ((uint)slot < (uint)ahead.Counts[list]) there = ahead.Tokens[(long)list * args.Capacity + slot] == token;
        }
        return there;
    }

    // Sum over the threads before this one, and over all; ends with a barrier. In two steps, so that no thread adds more than twice Parts numbers.
    private static int Before(int value, ArrayView<int> values, ArrayView<ulong> parts, out int all)
    {
        int thread = Group.IdxX, part = thread / Parts, before = 0;
        values[thread] = value;
        Group.Barrier();
        for (int i = part * Parts; i < thread; i++) before += values[i];
        if (thread % Parts == Parts - 1 || thread == Group.DimX - 1) parts[part] = (ulong)(before + value);
        Group.Barrier();
        all = 0;
        for (int i = 0; i * Parts < Group.DimX; i++)
        {
            if (i < part) before += (int)parts[i];
            all += (int)parts[i];
        }
        Group.Barrier();
        return before;
    }

    // Sum over the group, for each thread; ends with a barrier.
    private static ulong Sum(ulong value, ArrayView<ulong> values, ArrayView<ulong> parts)
    {
        int thread = Group.IdxX;
        values[thread] = value;
        Group.Barrier();
        ulong sum = 0;
        if (thread < Parts)
        {
            for (int i = thread; i < Group.DimX; i += Parts) sum += values[i];
            parts[thread] = sum;
        }
        Group.Barrier();
        sum = 0;
        for (int i = 0; i < IntrinsicMath.Min(Parts, Group.DimX); i++) sum += parts[i];
        Group.Barrier();
        return sum;
    }
}
