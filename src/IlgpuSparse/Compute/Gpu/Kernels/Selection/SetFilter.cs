using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// From the histogram of a set to its selected tokens, by one group for each chunk of the context: tokens in bins before the last selected token's are kept, those in its bin are open until all
/// are known; then the set's last group ranks them by key and position. Kept tokens come first in the result, in order of position, then the open ones in order of rank.
/// </summary>
internal static class SetFilter
{
    /// <summary>Open tokens that can be ranked; more, which takes many equal scores, are left to <see cref="WholeSet"/>.</summary>
    public const int MaxOpen = 1024;

    /// <summary>Words of <see cref="SetFilterMemory.Word"/>.</summary>
    public const int Words = 6;

    // indices of the words; the search has the first two
    private const int Bin = 0, Before = 1, OpenBase = 2, KeptBefore = 3, Last = 4, OpenCount = 5;

    /// <summary>
    /// Selects in chunk <paramref name="chunk"/> of <paramref name="chunks"/> of set number <paramref name="set"/>. A group waits for the counts of the chunks before its own, whose groups have been
    /// started before it.
    /// </summary>
    public static void Run(SelectView select, VisibleRange range, long set, int chunk, int chunks, SetFilterMemory memory)
    {
        var scratch = select.Scratch;
        int budget = range.Budget(select), origin = range.Origin + chunk * KeyTile.Tokens(Group.DimX);
        var keys = new uint[KeyTile.PerThread];
        KeyTile.Load(select.Scores, set * select.ScoreCapacity, range, origin, keys);
        float inverse = scratch.Spreads[set];
        ScoreBins.Find(scratch, set, (uint)budget, memory.Word);
        Group.Barrier();
        int last = (int)memory.Word[Bin], sure = (int)memory.Word[Before];

        uint keptCounts = 0, openCounts = 0;
        for (int i = 0; i < KeyTile.PerThread; i++)
        {
            int bin = keys[i] == 0u ? ScoreBins.Bins : ScoreBins.OfKey(keys[i], inverse);
            keptCounts += (bin < last ? 1u : 0u) << (8 * (i >> 2));
            openCounts += (bin == last ? 1u : 0u) << (8 * (i >> 2));
        }
        ulong keptStarts = KeyTile.Starts(keptCounts, memory.Kept, out int keptTotal);
        ulong openStarts = KeyTile.Starts(openCounts, memory.Opened, out int openTotal);
        if (chunks > 1) Publish(scratch, set, chunk, keptTotal, openTotal, memory.Word);
        int openBase = chunks > 1 ? (int)memory.Word[OpenBase] : 0;
        long output = set * select.SetCapacity + (chunks > 1 ? memory.Word[KeptBefore] : 0u);
        for (int quarter = 0; quarter < 4; quarter++)
        {
            int token = KeyTile.Token(origin, quarter), keptPlace = KeyTile.Start(keptStarts, quarter), openPlace = openBase + KeyTile.Start(openStarts, quarter);
            for (int i = 0; i < 4; i++)
            {
                uint key = keys[quarter * 4 + i];
                int bin = key == 0u ? ScoreBins.Bins : ScoreBins.OfKey(key, inverse);
                if (bin < last) select.Indices[output + keptPlace] = token + i;
                if (bin == last && openPlace < MaxOpen)
                {
                    var open = new U2 { X = (uint)(token + i), Y = key };
                    if (chunks > 1) scratch.Open[set * MaxOpen + openPlace] = open;
                    else memory.Open[openPlace] = open;
                }
                keptPlace += bin < last ? 1 : 0;
                openPlace += bin == last ? 1 : 0;
            }
        }
        if (chunks > 1)
        {
            if (Arrival.IsLast(ref scratch.Arrivals[set], chunks, ref memory.Word[Last])) Close(select, range, set, chunks, budget, sure, Collect(scratch, set, memory), memory);
        }
        else
        {
            Group.Barrier();
            Close(select, range, set, chunks, budget, sure, openTotal, memory);
        }
    }

    // Tells the chunk's counts and learns where its tokens go.
    private static void Publish(SelectScratch scratch, long set, int chunk, int kept, int open, ArrayView<uint> word)
    {
        long first = set * scratch.Chunks;
        if (Group.IdxX == 0)
        {
            // one more, so that zero says that it is not known yet
            Atomic.Exchange(ref scratch.ChunkKept[first + chunk], (uint)kept + 1u);
            word[OpenBase] = (uint)Atomic.Add(ref scratch.CandidateCounts[set], open);
        }
        if (Group.IdxX < 32)
        {
            uint before = 0;
            for (int earlier = Group.IdxX; earlier < chunk; earlier += 32)
            {
                uint known = Loads.Fresh(ref scratch.ChunkKept[first + earlier]);
                while (known == 0u) known = Loads.Fresh(ref scratch.ChunkKept[first + earlier]);
                before += known - 1u;
            }
            Warp.Barrier();
            for (int d = 0; d < 5; d++) before += Warp.ShuffleXor(before, 1 << d);
            if (Group.IdxX == 0) word[KeptBefore] = before;
        }
        Group.Barrier();
    }

    // The set's open tokens, into shared memory; how many there are.
    private static int Collect(SelectScratch scratch, long set, SetFilterMemory memory)
    {
        if (Group.IdxX == 0) memory.Word[OpenCount] = Loads.Fresh(ref scratch.CandidateCounts.Cast<uint>()[set]);
        Group.Barrier();
        int count = (int)memory.Word[OpenCount];
        for (int i = Group.IdxX; i < Math.Min(count, MaxOpen); i += Group.DimX) memory.Open[i] = Loads.Fresh(ref scratch.Open[set * MaxOpen + i]);
        Group.Barrier();
        return count;
    }

    // Ranks the open tokens, and leaves the counters as the next selection wants them.
    private static void Close(SelectView select, VisibleRange range, long set, int chunks, int budget, int sure, int count, SetFilterMemory memory)
    {
        var scratch = select.Scratch;
        for (int i = Group.IdxX; i < ScoreBins.Counts; i += Group.DimX) scratch.Bins[set * ScoreBins.Counts + i] = 0u;
        for (int i = Group.IdxX; i < chunks; i += Group.DimX) scratch.ChunkKept[set * scratch.Chunks + i] = 0u;
        if (Group.IdxX == 0)
        {
            scratch.CandidateCounts[set] = 0;
            select.Counts[set] = budget;
        }
        if (count > MaxOpen)
        {
            WholeSet.Select(select, range, set, memory.Open.Cast<uint>(), SetFilterKernel.GroupSize);
        }
        else
        {
            int wanted = budget - sure;
            long output = set * select.SetCapacity + sure;
            for (int own = Group.IdxX; own < count; own += Group.DimX)
            {
                var mine = memory.Open[own];
                int rank = 0;
                for (int other = 0; other < count; other++)
                {
                    var one = memory.Open[other];
                    rank += one.Y > mine.Y || (one.Y == mine.Y && one.X < mine.X) ? 1 : 0;
                }
                if (rank < wanted) select.Indices[output + rank] = (int)mine.X;
            }
        }
    }
}
