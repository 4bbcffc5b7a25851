using ILGPU;
using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// From the histogram of a set to its selected tokens, by one group for each chunk of the context: tokens in bins before the last selected token's are kept, those in its bin are open until all
/// are known; then the set's last group ranks them by key and position. Kept tokens come first in the result, chunk by chunk, then the open ones in order of rank.
/// </summary>
/// <remarks>
/// A lane makes two bits of each of up to 32 scores by comparing them with the bounds of the bin: no barrier, and a short loop rather than straight code, which runs once and costs more in instruction fetches than it saves.
/// Where the tokens go is then a matter of counting bits. Within a warp the order is that of its lanes, which hold every 128th four tokens: the same whenever the chunks are.
/// </remarks>
internal static class SetFilter
{
    /// <summary>Most tokens of a warp.</summary>
    public const int WarpTokens = 1024;

    /// <summary>Tokens that the warps of a group take a whole number of.</summary>
    public const int WarpStep = 128;

    /// <summary>Most open tokens that are ranked in a set of several chunks.</summary>
    public const int MaxOpen = 2048;

    /// <summary>Room behind the open tokens, for what rounds their number up.</summary>
    public const int OpenPadding = 16;

    /// <summary>Words of <see cref="SetFilterMemory.Word"/>.</summary>
    public const int Words = 6;

    /// <summary>Index of the word for the bin of the last selected token, and of that for how many tokens are in bins before it.</summary>
    public const int Bin = 0, Before = 1;

    private const int EarlierKept = 2, EarlierOpen = 3, OpenCount = 5;

    /// <summary>Index of the word for <see cref="Arrival"/>, also before a <see cref="Run"/>: its first steps leave it alone, so that no thread finds another's word there.</summary>
    public const int Last = 4;

    /// <summary>Tokens of a chunk for groups of <paramref name="threads"/> that holds <paramref name="visible"/> tokens, if one can.</summary>
    public static int WholeChunk(int visible, int threads)
    {
        int step = (threads >> 5) * WarpStep;
        return Math.Min((visible + step - 1) / step, WarpTokens / WarpStep) * step;
    }

    /// <summary>
    /// Selects among the <paramref name="tokens"/> tokens (a multiple of <see cref="WarpStep"/> for each warp) of chunk <paramref name="chunk"/> of <paramref name="chunks"/> of set number
    /// <paramref name="set"/>. A group waits for the counts of the chunks before its own, whose groups have been started before it.
    /// </summary>
    public static void Run(SelectView select, VisibleRange range, long set, int chunk, int chunks, int tokens, SetFilterMemory memory)
    {
        var scratch = select.Scratch;
        int budget = range.Budget(select, set), lane = Group.IdxX & 31, stretch = tokens / (Group.DimX >> 5);
        int origin = range.Origin + chunk * tokens + (Group.IdxX >> 5) * stretch, end = Math.Min(origin + stretch, range.Last + 1);
        float inverse = scratch.Spreads[set];
        var quads = select.Scores.Cast<F4>();
        long scores = set * select.ScoreCapacity;
        int token = origin + lane * 4;
        // on their way while the bin is found
        F4 last = Load<FreshScores>(quads, scores, token + stretch - WarpStep, end), beforeLast = default;
        if (stretch > WarpStep) beforeLast = Load<FreshScores>(quads, scores, token + stretch - 2 * WarpStep, end);
        ScoreBins.Find(scratch.Bins, set * ScoreBins.Counts, (uint)budget, memory.Word);
        Group.Barrier();
        var bits = Bits<FreshScores>(range, quads, scores, origin, stretch, end, FilterBounds.Of((int)memory.Word[Bin], inverse), last, beforeLast);
        uint kept = bits.Kept, open = bits.Open;

        // two counts in one word: a group has at most 16384 of either
        uint before = GroupScan.Inclusive(bits.Counts, memory.Totals, out uint all) - bits.Counts;
        int place = (int)(before >> 16);
        long output = set * select.SetCapacity + (before & 0xffffu);
        if (chunks > 1)
        {
            Publish(scratch, set, chunk, all, memory.Word);
            output += memory.Word[EarlierKept];
            place += (int)memory.Word[EarlierOpen];
        }
        for (; kept != 0u; kept &= kept - 1u)
        {
            select.Indices[output] = Token(token, Lowest(kept));
            output++;
        }
        for (; open != 0u; open &= open - 1u)
        {
            int own = Token(token, Lowest(open));
            ulong entry = Entry(range, own, Loads.Fresh(ref select.Scores[scores + own]));
            if (place < memory.MaxOpen && chunks == 1) memory.Open[place] = entry;
            if (place < memory.MaxOpen && chunks > 1) scratch.Open[set * MaxOpen + place] = entry;
            place++;
        }
        int count = (int)(all >> 16);
        bool closes = true;
        if (chunks > 1)
        {
            closes = Arrival.IsLast(ref scratch.Arrivals[set], chunks, ref memory.Word[Last]);
            if (closes) count = Collect(scratch, set, chunks, memory);
        }
        if (closes) Close(select, range, set, chunks, budget, count, memory);
    }

    /// <summary>
    /// Which of a warp's <paramref name="stretch"/> tokens (a multiple of <see cref="WarpStep"/>, at most <see cref="WarpTokens"/>) from <paramref name="origin"/> to before <paramref name="end"/> are kept and which are
    /// open, by the <paramref name="bounds"/> of the last selected one's bin. Four tokens' scores are number <c>(scores + token) / 4</c> of <paramref name="quads"/>; the lane's <paramref name="last"/> and the ones <paramref name="before"/> those are loaded already
    /// where scores are far.
    /// </summary>
    public static FilterBits Bits<TScores>(VisibleRange range, ArrayView<F4> quads, long scores, int origin, int stretch, int end, FilterBounds bounds, F4 last, F4 before)
        where TScores : struct, IFilterScores
    {
        int token = origin + (Group.IdxX & 31) * 4;
        uint kept = 0, open = 0;
        // from the end on, so that the first token's bit is the lowest
        for (int start = stretch - WarpStep; start >= 0; start -= WarpStep)
        {
            var four = TScores.AreFar ? last : Load<TScores>(quads, scores, token + start, end);
            if (TScores.AreFar)
            {
                last = before;
                before = default;
                if (start >= 2 * WarpStep) before = Load<TScores>(quads, scores, token + start - 2 * WarpStep, end);
            }
            // what is not a number is neither, but in the last bin
            kept = Append(Append(Append(Append(kept, bounds.High, four.W), bounds.High, four.Z), bounds.High, four.Y), bounds.High, four.X);
            open = Append(Append(Append(Append(open, bounds.Low, four.W), bounds.Low, four.Z), bounds.Low, four.Y), bounds.Low, four.X);
        }
        return Bits(range, token, origin, stretch, end, bounds.Bin, kept, open);
    }

    /// <summary>From bits of a lane's tokens, from <paramref name="token"/> on, in bins before that of the last selected one (<paramref name="kept"/>), and of those and its own (<paramref name="open"/>).</summary>
    public static FilterBits Bits(VisibleRange range, int token, int origin, int stretch, int end, int bin, uint kept, uint open)
    {
        if (bin == ScoreBins.Bins - 1) open = uint.MaxValue;
        uint visible = BitsBefore(token, Math.Min(end, origin + stretch)) & ~BitsBefore(token, range.First), forced = (BitsBefore(token, range.SinkEnd) | ~BitsBefore(token, range.RecentStart)) & visible;
        kept &= visible & ~forced;
        open &= visible & ~forced & ~kept;
        // in the first bin, which is before the last selected token's unless it is that one
        if (bin == 0) open |= forced;
        else kept |= forced;
        FilterBits bits;
        bits.Kept = kept;
        bits.Open = open;
        return bits;
    }

    /// <summary>The four scores from <paramref name="token"/> on, for <see cref="Bits{TScores}"/>; zeros from <paramref name="end"/> on.</summary>
    public static F4 Load<TScores>(ArrayView<F4> quads, long scores, int token, int end)
        where TScores : struct, IFilterScores
    {
        var score = new F4();
        if (token < end) score = TScores.Four(quads, (scores + token) >> 2);
        return score;
    }

    // The bits with another one below them: whether a score is greater than a bound. Of a difference the sign alone.
    [IntrinsicImplementation, PtxOp("{ .reg .f32 d; .reg .b32 e; sub.rn.f32 d, $1, $2; mov.b32 e, d; shf.l.wrap.b32 $r, e, $0, 1; }")]
    private static uint Append(uint bits, float bound, float score) => bits << 1 | (score > bound ? 1u : 0u);

    // Bits of the lane's tokens before `end`, where the lane begins with `first`.
    private static uint BitsBefore(int first, int end)
    {
        int distance = Math.Max(end - first, 0), count = (distance >> 7) * 4 + Math.Min(distance & (WarpStep - 1), 4);
        return count >= 32 ? uint.MaxValue : (1u << count) - 1u;
    }

    /// <summary>Token number <paramref name="n"/> of the lane that begins with <paramref name="first"/>.</summary>
    public static int Token(int first, int n) => first + (n >> 2) * WarpStep + (n & 3);

    /// <summary>An open token for <see cref="OpenRank"/>.</summary>
    public static ulong Entry(VisibleRange range, int token, float score) => ((ulong)range.Key(token, score) << 32) | ~(uint)token;

    /// <summary>Number of the lowest bit that is set.</summary>
    public static int Lowest(uint bits) => 31 - IntrinsicMath.BitOperations.LeadingZeroCount(bits & (0u - bits));

    // Tells the chunk's counts and learns those of the chunks before it.
    private static void Publish(SelectScratch scratch, long set, int chunk, uint counts, ArrayView<uint> word)
    {
        if (Group.IdxX < 32)
        {
            long first = set * scratch.FilterChunks;
            // one more, so that zero says that it is not known yet
            if (Group.IdxX == 0) Atomic.Exchange(ref scratch.FilterCounts[first + chunk], counts + 1u);
            uint kept = 0, open = 0;
            for (int earlier = Group.IdxX; earlier < chunk; earlier += 32)
            {
                uint known = Loads.Awaited(ref scratch.FilterCounts[first + earlier]);
                while (known == 0u) known = Loads.Awaited(ref scratch.FilterCounts[first + earlier]);
                kept += (known - 1u) & 0xffffu;
                open += (known - 1u) >> 16;
            }
            Warp.Barrier();
            kept = GroupScan.WarpSum(kept);
            open = GroupScan.WarpSum(open);
            if (Group.IdxX == 0)
            {
                word[EarlierKept] = kept;
                word[EarlierOpen] = open;
            }
        }
        Group.Barrier();
    }

    // The set's open tokens, into shared memory; how many there are.
    private static int Collect(SelectScratch scratch, long set, int chunks, SetFilterMemory memory)
    {
        if (Group.IdxX < 32)
        {
            uint open = 0;
            for (int chunk = Group.IdxX; chunk < chunks; chunk += 32) open += (Loads.Fresh(ref scratch.FilterCounts[set * scratch.FilterChunks + chunk]) - 1u) >> 16;
            Warp.Barrier();
            open = GroupScan.WarpSum(open);
            if (Group.IdxX == 0) memory.Word[OpenCount] = open;
        }
        Group.Barrier();
        int count = (int)memory.Word[OpenCount];
        CollectOpen(scratch, set, count, memory);
        return count;
    }

    // Ranks the open tokens, and leaves the counters as the next selection wants them.
    private static void Close(SelectView select, VisibleRange range, long set, int chunks, int budget, int count, SetFilterMemory memory)
    {
        var scratch = select.Scratch;
        for (int i = Group.IdxX; i < ScoreBins.Counts; i += Group.DimX) scratch.Bins[set * ScoreBins.Counts + i] = 0u;
        if (chunks > 1)
        {
            for (int i = Group.IdxX; i < chunks; i += Group.DimX) scratch.FilterCounts[set * scratch.FilterChunks + i] = 0u;
        }
        Rank(select, range, set, budget, (int)memory.Word[Before], count, SetFilterKernel.GroupSize, memory);
    }

    /// <summary>The set's <paramref name="count"/> open tokens, which its groups have written, into shared memory as far as they can be ranked.</summary>
    public static void CollectOpen(SelectScratch scratch, long set, int count, SetFilterMemory memory)
    {
        for (int i = Group.IdxX; i < Math.Min(count, memory.MaxOpen); i += Group.DimX) memory.Open[i] = Loads.Fresh(ref scratch.Open[set * MaxOpen + i]);
    }

    /// <summary>Ends the selection of <paramref name="budget"/> tokens, of which <paramref name="before"/> come before the <paramref name="count"/> open ones in <see cref="SetFilterMemory.Open"/>; at most <paramref name="threads"/> call.</summary>
    public static void Rank(SelectView select, VisibleRange range, long set, int budget, int before, int count, int threads, SetFilterMemory memory)
    {
        if (Group.IdxX == 0) select.Counts[set] = budget;
        // zeros, which rank behind everything, up to whole steps
        if (count <= memory.MaxOpen && Group.IdxX < OpenPadding) memory.Open[count + Group.IdxX] = 0ul;
        Group.Barrier();
        if (count > memory.MaxOpen) WholeSet.Select(select, range, set, memory.Open.Cast<uint>(), threads);
        else OpenRank.Store(new SetTarget(select.Indices, set * select.SetCapacity + before), budget - before, count, memory);
    }
}
