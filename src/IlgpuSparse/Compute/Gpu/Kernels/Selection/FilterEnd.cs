using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The last group of <see cref="FilterKernel"/>: the exact threshold, and each chunk's place in the result.</summary>
internal static class FilterEnd
{
    /// <summary>Most chunks of a set.</summary>
    public const int MaxChunks = SortableKey.LowBins / 2;

    /// <summary>Counts the candidates of set <paramref name="set"/>, whose keys begin with <paramref name="known"/>, to the one of rank <paramref name="rank"/> among them.</summary>
    public static void Run(SelectView select, long set, int chunks, uint known, uint rank, ArrayView<uint> bins, ArrayView<uint> search)
    {
        var scratch = select.Scratch;
        int count = (int)Loads.Fresh(ref scratch.CandidateCounts.Cast<uint>()[set]);
        long first = set * scratch.Stride;

        // in registers throughout where they fit
        var values = new uint[KeyTile.PerThread];
        int loaded = -1;
        Clear(bins);
        for (int start = 0; start < count; start += KeyTile.Tokens(Group.DimX))
        {
            Load(scratch.Candidates, first, start, count, values);
            loaded = start;
            for (int i = 0; i < KeyTile.PerThread; i++)
            {
                if (Index(start, i) < count) Atomic.Add(ref bins[SortableKey.LowBin(values[i], 10)], 1u);
            }
        }
        Group.Barrier();
        RankSearch.Find(bins, SortableKey.LowBins / Group.DimX, rank, search);
        uint low = SortableKey.LowBins - 1 - search[RankSearch.Bin];
        rank -= search[RankSearch.Before];

        Clear(bins);
        for (int start = 0; start < count; start += KeyTile.Tokens(Group.DimX))
        {
            if (start != loaded) Load(scratch.Candidates, first, start, count, values);
            loaded = start;
            for (int i = 0; i < KeyTile.PerThread; i++)
            {
                if (Index(start, i) < count && ((values[i] >> 10) & (SortableKey.LowBins - 1)) == low) Atomic.Add(ref bins[SortableKey.LowBin(values[i], 0)], 1u);
            }
        }
        Group.Barrier();
        RankSearch.Find(bins, SortableKey.LowBins / Group.DimX, rank, search);
        low = (low << 10) | (SortableKey.LowBins - 1 - search[RankSearch.Bin]);
        int ties = (int)(rank - search[RankSearch.Before]);

        // candidates of each chunk above the threshold, and equal to it
        Clear(bins);
        for (int start = 0; start < count; start += KeyTile.Tokens(Group.DimX))
        {
            if (start != loaded) Load(scratch.Candidates, first, start, count, values);
            loaded = start;
            for (int i = 0; i < KeyTile.PerThread; i++)
            {
                uint key = values[i] & ((1u << SortableKey.LowBits) - 1u);
                int chunk = (int)(values[i] >> SortableKey.LowBits);
                if (Index(start, i) < count && key >= low) Atomic.Add(ref bins[key > low ? chunk : MaxChunks + chunk], 1u);
            }
        }
        Group.Barrier();
        Place(scratch, set, chunks, ties, bins, search);

        for (int i = Group.IdxX; i < SortableKey.TopCounts; i += Group.DimX) scratch.Histogram[set * SortableKey.TopCounts + i] = 0u;
        if (Group.IdxX == 0)
        {
            scratch.Thresholds[set] = (known << SortableKey.LowBits) | low;
            scratch.CandidateCounts[set] = 0;
        }
    }

    /// <summary>Place in the list of a thread's value number <paramref name="i"/> of a batch.</summary>
    public static int Index(int start, int i) => start + ((i >> 2) * Group.DimX + Group.IdxX) * 4 + (i & 3);

    /// <summary>A batch of candidates, as far as there are any.</summary>
    public static void Load(ArrayView<uint> candidates, long first, int start, int count, uint[] values)
    {
        var quads = candidates.Cast<U4>();
        for (int quarter = 0; quarter < 4; quarter++)
        {
            if (Index(start, quarter * 4) < count)
            {
                var quad = Loads.Fresh(ref quads[(first + Index(start, quarter * 4)) >> 2]);
                values[quarter * 4] = quad.X;
                values[quarter * 4 + 1] = quad.Y;
                values[quarter * 4 + 2] = quad.Z;
                values[quarter * 4 + 3] = quad.W;
            }
        }
    }

    private static void Clear(ArrayView<uint> bins)
    {
        for (int i = Group.IdxX; i < SortableKey.LowBins; i += Group.DimX) bins[i] = 0u;
        Group.Barrier();
    }

    /// <summary>Each chunk's place in the result, from its candidates above the threshold and equal to it in <paramref name="bins"/>.</summary>
    public static void Place(SelectScratch scratch, long set, int chunks, int ties, ArrayView<uint> bins, ArrayView<uint> search)
    {
        int aboveBefore = 0, tiedBefore = 0;
        for (int start = 0; start < chunks; start += Group.DimX)
        {
            int chunk = start + Group.IdxX;
            uint above = 0, tied = 0;
            if (chunk < chunks)
            {
                var counts = Loads.Fresh(ref scratch.ChunkCounts[set * scratch.Chunks + chunk]);
                above = counts.X - counts.Y + bins[chunk];
                tied = bins[MaxChunks + chunk];
            }
            uint aboveUpTo = GroupScan.Inclusive(above, search);
            Group.Barrier();
            uint tiedUpTo = GroupScan.Inclusive(tied, search);
            Group.Barrier();
            int tiesBefore = tiedBefore + (int)(tiedUpTo - tied);
            if (chunk < chunks)
            {
                scratch.ChunkPlaces[set * scratch.Chunks + chunk] = new U2
                {
                    X = (uint)(aboveBefore + (int)(aboveUpTo - above) + Math.Min(tiesBefore, ties)),
                    Y = (uint)Math.Max(ties - tiesBefore, 0),
                };
            }
            // the last thread has the totals
            if (Group.IdxX == Group.DimX - 1)
            {
                search[RankSearch.Bin] = aboveUpTo;
                search[RankSearch.Before] = tiedUpTo;
            }
            Group.Barrier();
            aboveBefore += (int)search[RankSearch.Bin];
            tiedBefore += (int)search[RankSearch.Before];
        }
    }
}
