using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// From the histogram of a set to its selected tokens, by one group for each chunk of the context: tokens in bins before the last selected token's are kept, those in its bin are open until all
/// are known; then the set's last group ranks them by key and position. Kept tokens come first in the result, in order of position, then the open ones in order of rank.
/// </summary>
/// <remarks>A chunk is gone through in a loop, four tokens a thread at a time, rather than in registers: straight code that runs once costs more in instruction fetches than it saves.</remarks>
internal static class SetFilter
{
    /// <summary>Most tokens of a chunk.</summary>
    public const int ChunkTokens = 8192;

    /// <summary>Open tokens that can be ranked; more, which takes many equal scores, are left to <see cref="WholeSet"/>.</summary>
    public const int MaxOpen = 1024;

    /// <summary>Room for them and for what rounds their number up.</summary>
    public const int OpenRoom = MaxOpen + 16;

    /// <summary>Words of <see cref="SetFilterMemory.Word"/>.</summary>
    public const int Words = 6;

    // indices of the words; the search has the first two
    private const int Bin = 0, Before = 1, OpenBase = 2, KeptBefore = 3, Last = 4, OpenCount = 5;

    /// <summary>
    /// Selects among the <paramref name="tokens"/> tokens of chunk <paramref name="chunk"/> of <paramref name="chunks"/> of set number <paramref name="set"/>. A group waits for the counts of the
    /// chunks before its own, whose groups have been started before it.
    /// </summary>
    public static void Run(SelectView select, VisibleRange range, long set, int chunk, int chunks, int tokens, SetFilterMemory memory)
    {
        var scratch = select.Scratch;
        int budget = range.Budget(select), origin = range.Origin + chunk * tokens, end = Math.Min(origin + tokens, range.Last + 1);
        float inverse = scratch.Spreads[set];
        var quads = select.Scores.Cast<F4>();
        long scores = set * select.ScoreCapacity;
        int token = origin + Group.IdxX * 4;
        // on its way while the bin is found
        var score = new F4();
        if (token < end) score = Loads.Fresh(ref quads[(scores + token) >> 2]);
        ScoreBins.Find(scratch, set, (uint)budget, memory.Word);
        Group.Barrier();
        int last = (int)memory.Word[Bin], sure = (int)memory.Word[Before];

        int kept = 0, open = 0, parity = 0;
        for (int start = origin; start < end; start += Group.DimX * 4)
        {
            int next = token + Group.DimX * 4;
            var following = new F4();
            if (next < end) following = Loads.Fresh(ref quads[(scores + next) >> 2]);
            uint x = range.Key(token, score.X), y = range.Key(token + 1, score.Y), z = range.Key(token + 2, score.Z), w = range.Key(token + 3, score.W);
            int bx = ScoreBins.OfVisible(x, inverse), by = ScoreBins.OfVisible(y, inverse), bz = ScoreBins.OfVisible(z, inverse), bw = ScoreBins.OfVisible(w, inverse);
            // kept in the lower half, open in the upper; a group has at most 2048 of either
            uint ox = Class(bx, last), oy = Class(by, last), oz = Class(bz, last), ow = Class(bw, last);
            uint own = ox + oy + oz + ow;
            uint before = GroupScan.Inclusive(own, memory.Totals.SubView(parity, GroupScan.MaxWarps + 1), out uint all) - own;
            uint places = (uint)kept + ((uint)open << 16) + before;
            Store(memory, places, ox, x, token, origin);
            Store(memory, places + ox, oy, y, token + 1, origin);
            Store(memory, places + ox + oy, oz, z, token + 2, origin);
            Store(memory, places + ox + oy + oz, ow, w, token + 3, origin);
            kept += (int)(all & 0xffffu);
            open += (int)(all >> 16);
            parity = GroupScan.MaxWarps + 1 - parity;
            token = next;
            score = following;
        }
        Group.Barrier();
        int keptBefore = 0;
        if (chunks > 1)
        {
            Publish(scratch, set, chunk, kept, open, memory.Word);
            keptBefore = (int)memory.Word[KeptBefore];
            int openBase = (int)memory.Word[OpenBase];
            for (int i = Group.IdxX; i < Math.Min(open, MaxOpen - openBase); i += Group.DimX) scratch.Open[set * MaxOpen + openBase + i] = memory.Open[i];
        }
        long output = set * select.SetCapacity + keptBefore;
        for (int i = Group.IdxX; i < kept; i += Group.DimX) select.Indices[output + i] = origin + memory.Kept[i];
        bool closes = true;
        if (chunks > 1)
        {
            closes = Arrival.IsLast(ref scratch.Arrivals[set], chunks, ref memory.Word[Last]);
            if (closes) open = Collect(scratch, set, memory);
        }
        if (closes) Close(select, range, set, chunks, budget, sure, open, memory);
    }

    // 1 for a kept token, 1 << 16 for an open one.
    private static uint Class(int bin, int last) => (bin < last ? 1u : 0u) + (bin == last ? 0x10000u : 0u);

    private static void Store(SetFilterMemory memory, uint places, uint kind, uint key, int token, int origin)
    {
        if (kind == 1u) memory.Kept[(int)(places & 0xffffu)] = (ushort)(token - origin);
        if (kind == 0x10000u && places >> 16 < MaxOpen) memory.Open[(int)(places >> 16)] = ((ulong)key << 32) | ~(uint)token;
    }

    // Tells the chunk's counts and learns where its tokens go.
    private static void Publish(SelectScratch scratch, long set, int chunk, int kept, int open, ArrayView<uint> word)
    {
        long first = set * scratch.FilterChunks;
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
                uint known = Loads.Awaited(ref scratch.ChunkKept[first + earlier]);
                while (known == 0u) known = Loads.Awaited(ref scratch.ChunkKept[first + earlier]);
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
        return count;
    }

    // Ranks the open tokens, and leaves the counters as the next selection wants them.
    private static void Close(SelectView select, VisibleRange range, long set, int chunks, int budget, int sure, int count, SetFilterMemory memory)
    {
        var scratch = select.Scratch;
        for (int i = Group.IdxX; i < ScoreBins.Counts; i += Group.DimX) scratch.Bins[set * ScoreBins.Counts + i] = 0u;
        if (chunks > 1)
        {
            for (int i = Group.IdxX; i < chunks; i += Group.DimX) scratch.ChunkKept[set * scratch.FilterChunks + i] = 0u;
        }
        if (Group.IdxX == 0)
        {
            scratch.CandidateCounts[set] = 0;
            select.Counts[set] = budget;
        }
        // zeros, which rank behind everything, up to whole steps of 16
        if (count <= MaxOpen && Group.IdxX < 16) memory.Open[count + Group.IdxX] = 0ul;
        Group.Barrier();
        if (count > MaxOpen) WholeSet.Select(select, range, set, memory.Open.Cast<uint>(), SetFilterKernel.GroupSize);
        else Rank(select, set * select.SetCapacity + sure, budget - sure, count, memory.Open);
    }

    // Each token's rank is how many others are above it; up to four neighbouring lanes count for one token.
    private static void Rank(SelectView select, long output, int wanted, int count, ArrayView<ulong> open)
    {
        int shift = count * 4 <= Group.DimX ? 2 : count * 2 <= Group.DimX ? 1 : 0;
        int part = Group.IdxX & ((1 << shift) - 1);
        for (int start = 0; start < count; start += Group.DimX >> shift)
        {
            int own = start + (Group.IdxX >> shift);
            ulong mine = open[Math.Min(own, count)];
            int rank = 0;
            for (int other = part * 4; other < count; other += 4 << shift)
            {
                rank += open[other] > mine ? 1 : 0;
                rank += open[other + 1] > mine ? 1 : 0;
                rank += open[other + 2] > mine ? 1 : 0;
                rank += open[other + 3] > mine ? 1 : 0;
            }
            int neighbour = Warp.ShuffleXor(rank, 1);
            rank += shift > 0 ? neighbour : 0;
            neighbour = Warp.ShuffleXor(rank, 2);
            rank += shift > 1 ? neighbour : 0;
            if (part == 0 && own < count && rank < wanted) select.Indices[output + rank] = (int)~(uint)mine;
        }
    }
}
