using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>What the last group of a selection by mass does with the set's candidates, and with what their count says of each chunk.</summary>
internal static class CandidateList
{
    /// <summary>Most chunks of a set.</summary>
    public const int MaxChunks = SortableKey.LowBins / 2;

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
