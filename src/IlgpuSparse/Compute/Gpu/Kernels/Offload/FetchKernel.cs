using ILGPU;
using IlgpuSparse.Compute.Gpu.Offload;

namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>
/// Gathers the rows of K and V of selected tokens, in the order of their lists, from where they are: blocks that stay on the device, hot rows, and pinned host memory read in place (zero copy). What a selected-attention
/// kernel reads then is what it would have read of a cache on the device, in the same order.
/// </summary>
/// <remarks>A thread has several 16-byte loads under way, so that few groups keep the bus busy. A row that is not on the device claims its bucket of hot rows for <see cref="KeepKernel"/>: the lowest place among the
/// lists wins, whatever the timing.</remarks>
internal static class FetchKernel
{
    /// <summary>Threads a group, where what follows waits for the rows.</summary>
    public const int GroupSize = 256;

    /// <summary>Threads a group of <see cref="FetchAhead"/>, which has a layer's time, but works beside that layer: groups of 256 threads take so many registers of every multiprocessor that the layer's own kernels wait for their end.</summary>
    public const int AheadGroupSize = 32;

    // Rows that are worth a group of FetchAhead: of few rows the bus is no limit, and the layer has the more multiprocessors for itself.
    private const int AheadRowsPerGroup = 128;

    /// <summary>Counters of this kernel: rows from the host, hot ones, ones of resident blocks, ones brought ahead that were asked for, and all that were brought ahead.</summary>
    public const int HostRows = 0, HotRowsRead = 1, ResidentRows = 2, AheadRowsRead = 3, AheadRows = 4, Counted = 5;

    /// <summary>Counters of <see cref="CountRowsKernel"/>, rows that dense attention read in place, and of <see cref="DropKernel"/>, selected rows that were not fetched. And how many counters there are.</summary>
    public const int InPlaceRows = 5, DroppedRows = 6, Counters = 7;

    private const int Batch = 8;

    /// <summary>The variant of a kind.</summary>
    public static KernelVariant Variant(Type kind) => KernelVariant.Of(typeof(FetchKernel), nameof(Run), kind == typeof(FetchAhead) ? AheadGroupSize : GroupSize, kind) with { CudaOnly = true };

    /// <summary>Groups of a launch on a device of so many multiprocessors.</summary>
    public static int Groups(int multiprocessors) => 2 * multiprocessors;

    /// <summary>Groups of a launch of <see cref="FetchAhead"/> for lists of <paramref name="rows"/> in all: a group has 4 KB under way, and one for three of four multiprocessors keeps the bus busy (docs/numbers/offload-h100.md).</summary>
    public static int AheadGroups(int multiprocessors, long rows) => (int)Math.Clamp(rows / AheadRowsPerGroup, 1, Math.Max(1, 3 * multiprocessors / 4));

    /// <summary>All variants.</summary>
    public static IEnumerable<KernelVariant> Variants => new[] { typeof(FetchNow), typeof(FetchAhead), typeof(FetchLate) }.Select(Variant);

    /// <summary>Grid (any number of groups, lists, rows).</summary>
    public static void Run<TKind>(ArrayView<int> tokens, ArrayView<int> counts, ArrayView<int> blocks, ArrayView<int> residents, RowStore scales, RowStore fetched, HotView hot, AheadView ahead, FetchArgs args)
        where TKind : struct, IFetchKind
    {
        var counted = SharedMemory.Allocate<int>(Counted);
        int thread = Group.IdxX;
        if (thread < Counted) counted[thread] = 0;
        Group.Barrier();
        int set = Grid.IdxY, row = Grid.IdxZ, list = row * args.Sets + set;
        int kvHead = set / args.SetsPerKvHead, part = set - kvHead * args.SetsPerKvHead;
        int count = counts[list], width = 2 * args.Units;
        // several rows side by side where a group has threads for them
        int abreast = IntrinsicMath.Max(1, Group.DimX / width), sub = thread / width, firstUnit = thread - sub * width;
        int unitStep = abreast == 1 ? Group.DimX : width;
        if (abreast == 1) firstUnit = thread;
        if (abreast == 1) sub = 0;
        int now = hot.Clocks[args.Clock];
        int fromHost = 0, fromHot = 0, fromResident = 0, fromAhead = 0;
        var source = new long[Batch];
        var units = new U4[Batch];
        for (int first = Grid.IdxX * Batch * abreast; first < count && sub < abreast; first += Grid.DimX * Batch * abreast)
        {
            for (int unit = firstUnit; unit < width; unit += unitStep)
            {
                bool value = unit >= args.Units;
                long offset = (long)(value ? unit - args.Units : unit) * RowOps.UnitBytes, rowBytes = (long)args.Units * RowOps.UnitBytes;
                for (int b = 0; b < Batch; b++)
                {
                    // past the end the last one stands in: it is copied again to where it belongs
                    int entry = IntrinsicMath.Min(first + b * abreast + sub, count - 1);
                    int token = tokens[(long)list * args.Capacity + entry];
                    int at = row * args.MaxBlocks + (token >> KvLayer.BlockShift), inBlock = token & (KvLayer.BlockTokens - 1);
                    int resident = residents[at], block = blocks[at], tag = (block << KvLayer.BlockShift) + inBlock;
                    bool leads = unit == 0 && first + b * abreast + sub < count;
                    long index = ((long)(block * args.KvHeads + kvHead) << KvLayer.BlockShift) + inBlock;
                    long origin = value ? args.HostV : args.HostK;
                    int place = -1;
                    if (resident >= 0)
                    {
                        index = ((long)(resident * args.KvHeads + kvHead) << KvLayer.BlockShift) + inBlock;
                        origin = value ? args.ResidentV : args.ResidentK;
                        if (leads) fromResident++;
                    }
                    else if (args.Buckets > 0)
                    {
                        int bucket = kvHead * args.Buckets + (int)((uint)tag % (uint)args.Buckets);
                        var ways = hot.Tags.Cast<U4>()[bucket];
                        if (ways.X == (uint)tag) place = 0;
                        if (ways.Y == (uint)tag) place = 1;
                        if (ways.Z == (uint)tag) place = 2;
                        if (ways.W == (uint)tag) place = 3;
                        if (place >= 0)
                        {
                            index = (long)bucket * HotRows.Ways + place;
                            origin = value ? args.HotV : args.HotK;
                            if (leads) fromHot++;
                            if (leads && !TKind.Ahead) hot.Stamps[bucket * HotRows.Ways + place] = now;
                        }
                        else if (leads && !TKind.Ahead)
                        {
                            Atomic.Min(ref hot.Claims[bucket], list * args.Capacity + entry);
                        }
                    }
                    if (TKind.Late && resident < 0 && place < 0)
                    {
                        int slot = ahead.Places[(long)list * ahead.Width + token];
                        if ((uint)slot < (uint)ahead.Counts[list])
                        {
                            if (ahead.Tokens[(long)list * args.Capacity + slot] == token)
                            {
                                index = FetchedRow(args, row, kvHead, part, slot);
                                origin = value ? ahead.V : ahead.K;
                                place = slot;
                                if (leads) fromAhead++;
                            }
                        }
                    }
                    if (TKind.Ahead && leads) ahead.Places[(long)list * ahead.Width + token] = entry;
                    if (leads && resident < 0 && place < 0) fromHost++;
                    source[b] = origin + index * rowBytes + offset;
                    if (args.Scaled != 0 && leads && !TKind.Ahead)
                    {
                        long from = ((long)(block * args.KvHeads + kvHead) << KvLayer.BlockShift) + inBlock, to = FetchedRow(args, row, kvHead, part, entry);
                        fetched.KScales[to] = scales.KScales[from];
                        fetched.VScales[to] = scales.VScales[from];
                    }
                }
                for (int b = 0; b < Batch; b++) units[b] = RowOps.Load(source[b]);
                for (int b = 0; b < Batch; b++)
                {
                    int entry = IntrinsicMath.Min(first + b * abreast + sub, count - 1);
                    RowOps.Store((value ? args.FetchedV : args.FetchedK) + FetchedRow(args, row, kvHead, part, entry) * rowBytes + offset, units[b]);
                }
            }
        }
        if (TKind.Ahead)
        {
            Atomic.Add(ref counted[AheadRows], fromHost);
        }
        else
        {
            Atomic.Add(ref counted[HostRows], fromHost);
            Atomic.Add(ref counted[HotRowsRead], fromHot);
            Atomic.Add(ref counted[ResidentRows], fromResident);
            Atomic.Add(ref counted[AheadRowsRead], fromAhead);
        }
        Group.Barrier();
        if (thread < Counted && counted[thread] > 0) Atomic.Add(ref hot.Counters[thread], (long)counted[thread]);
    }

    /// <summary>Row of the fetched K and V that entry <paramref name="entry"/> of list <paramref name="part"/> of a kv head goes to.</summary>
    public static long FetchedRow(FetchArgs args, int row, int kvHead, int part, int entry)
    {
        int place = part * args.Capacity + entry;
        return ((long)((row * args.RowBlocks + (place >> KvLayer.BlockShift)) * args.KvHeads + kvHead) << KvLayer.BlockShift) + (place & (KvLayer.BlockTokens - 1));
    }
}
