using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Third kernel of a selection by mass over several groups a set: the survivors in the bin where it ends, which <see cref="MassFilterKernel"/> has found, become candidates; the last group of the set searches them to the
/// end. <see cref="PlaceKernel"/> follows.
/// </summary>
internal static class MassCandidateKernel
{
    public const int GroupSize = 512;

    private const int Bits = SortableKey.LowBits / 2;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true, HoldsNext = true };

    /// <summary>Grid (chunks, sets, rows).</summary>
    /// <param name="select">The selection.</param>
    /// <param name="tokens">Tokens a chunk, as <see cref="MassFilterKernel"/> had them.</param>
    public static void Run(SelectView select, int tokens)
    {
        var counts = SharedMemory.Allocate<uint>(SortableKey.LowBins);
        var low = SharedMemory.Allocate<uint>(SortableKey.LowBins);
        var high = SharedMemory.Allocate<uint>(SortableKey.LowBins);
        var search = SharedMemory.Allocate<uint>(RankSearch.ScratchWords);
        var sums = SharedMemory.Allocate<ulong>(MassSearch.SumWords);
        var word = SharedMemory.Allocate<uint>(3);
        int row = Grid.IdxZ, chunk = Grid.IdxX;
        long set = (long)row * Grid.DimY + Grid.IdxY;
        var range = VisibleRange.Of(select, row);
        var scratch = select.Scratch;
        if (range.Origin + chunk * tokens <= range.Last)
        {
            uint known = scratch.Cuts[set].Known, above = 0, open = 0;
            int count = (int)scratch.ChunkCounts[set * scratch.Chunks + chunk].X;
            long survivors = set * scratch.Stride + (long)chunk * tokens;
            if (Group.IdxX < 3) word[Group.IdxX] = 0u;
            Group.Barrier();
            for (int i = Group.IdxX; i < count; i += Group.DimX)
            {
                uint top = scratch.Survivors[survivors + i].Y >> SortableKey.LowBits;
                if (top > known) above++;
                if (top == known) open++;
            }
            // this thread's place among the group's candidates: they come in no order
            uint place = 0;
            if (open != 0u) place = Atomic.Add(ref word[0], open);
            if (above != 0u) Atomic.Add(ref word[1], above);
            Group.Barrier();
            if (Group.IdxX == 0)
            {
                if (word[0] != 0u) word[2] = (uint)Atomic.Add(ref scratch.CandidateCounts[set], (int)word[0]);
                // what is counted out of the survivors are those that are not above the bin
                scratch.ChunkCounts[set * scratch.Chunks + chunk] = new U2 { X = (uint)count, Y = (uint)count - word[1] };
            }
            Group.Barrier();
            long candidates = set * scratch.Stride + word[2] + place;
            for (int i = Group.IdxX; i < count && open != 0u; i += Group.DimX)
            {
                uint key = scratch.Survivors[survivors + i].Y;
                if (key >> SortableKey.LowBits == known)
                {
                    scratch.Candidates[candidates] = ((uint)chunk << SortableKey.LowBits) | (key & ((1u << SortableKey.LowBits) - 1u));
                    candidates++;
                }
            }
            int chunks = (range.Last - range.Origin) / tokens + 1;
            var bins = new MassBins { Counts = counts, Low = low, High = high };
            if (Arrival.IsLast(ref scratch.Arrivals[set], chunks, ref word[0])) End(select, range, set, chunks, bins, search, sums);
        }
    }

    private static void End(SelectView select, VisibleRange range, long set, int chunks, MassBins bins, ArrayView<uint> search, ArrayView<ulong> sums)
    {
        var scratch = select.Scratch;
        int count = (int)Loads.Fresh(ref scratch.CandidateCounts.Cast<uint>()[set]), step = KeyTile.Tokens(Group.DimX);
        long first = set * scratch.Stride;
        float maximum = SortableKey.Score(scratch.Maxima[set]);
        var cut = scratch.Cuts[set];
        uint known = cut.Known << SortableKey.LowBits;
        var values = new uint[KeyTile.PerThread];
        int loaded = -1;
        bins.Clear(SortableKey.LowBins);
        for (int start = 0; start < count; start += step)
        {
            CandidateList.Load(scratch.Candidates, first, start, count, values);
            loaded = start;
            for (int i = 0; i < KeyTile.PerThread; i++)
            {
                uint key = known | (values[i] & ((1u << SortableKey.LowBits) - 1u));
                if (CandidateList.Index(start, i) < count) bins.Add(SortableKey.LowBin(values[i], Bits), MassSearch.Weight(key, maximum, select.MassScale));
            }
        }
        Group.Barrier();
        cut = MassSearch.Find(bins, SortableKey.LowBins / Group.DimX, Bits, cut, search, sums);

        bins.Clear(SortableKey.LowBins);
        for (int start = 0; start < count; start += step)
        {
            if (start != loaded) CandidateList.Load(scratch.Candidates, first, start, count, values);
            loaded = start;
            for (int i = 0; i < KeyTile.PerThread; i++)
            {
                uint key = known | (values[i] & ((1u << SortableKey.LowBits) - 1u));
                if (CandidateList.Index(start, i) < count && key >> Bits == cut.Known) bins.Add(SortableKey.LowBin(values[i], 0), MassSearch.Weight(key, maximum, select.MassScale));
            }
        }
        Group.Barrier();
        cut = MassSearch.Find(bins, SortableKey.LowBins / Group.DimX, Bits, cut, search, sums);
        uint threshold = cut.Known, weight = MassSearch.Weight(threshold, maximum, select.MassScale);
        if (Group.IdxX == 0)
        {
            uint needed = cut.Needed(bins.Counts[SortableKey.LowBin(threshold, 0)], weight);
            ulong forced = scratch.Totals[2 * set + 1];
            MassSearch.Finish(select, range, set, cut, needed, weight, scratch.Totals[2 * set] + forced);
            // not where the others may still be reading what was found
            search[0] = needed;
        }
        Group.Barrier();
        int ties = (int)search[0];

        // candidates of each chunk above the threshold, and equal to it
        bins.Clear(SortableKey.LowBins);
        for (int start = 0; start < count; start += step)
        {
            if (start != loaded) CandidateList.Load(scratch.Candidates, first, start, count, values);
            loaded = start;
            for (int i = 0; i < KeyTile.PerThread; i++)
            {
                uint key = known | (values[i] & ((1u << SortableKey.LowBits) - 1u));
                int chunk = (int)(values[i] >> SortableKey.LowBits);
                if (CandidateList.Index(start, i) < count && key >= threshold) Atomic.Add(ref bins.Counts[key > threshold ? chunk : CandidateList.MaxChunks + chunk], 1u);
            }
        }
        Group.Barrier();
        CandidateList.Place(scratch, set, chunks, ties, bins.Counts, search);
        if (Group.IdxX == 0)
        {
            scratch.Thresholds[set] = threshold;
            scratch.CandidateCounts[set] = 0;
            scratch.Maxima[set] = 0u;
            scratch.Totals[2 * set] = 0ul;
        }
    }
}
