using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Finds the histogram bin that holds the token of a given rank.</summary>
internal static class RankSearch
{
    /// <summary>Words of shared memory that <see cref="Find"/> needs.</summary>
    public const int ScratchWords = GroupScan.MaxWarps + 2;

    /// <summary>Index of the found bin in the scratch words.</summary>
    public const int Bin = GroupScan.MaxWarps;

    /// <summary>Index, in the scratch words, of the number of tokens in the bins before it.</summary>
    public const int Before = GroupScan.MaxWarps + 1;

    /// <summary>
    /// Leaves in <paramref name="scratch"/> the first bin up to which <paramref name="histogram"/> counts at least <paramref name="rank"/> (1 or more, at most the total). A thread owns
    /// <paramref name="owned"/> bins. The caller has passed a barrier since the histogram was written; this ends with one.
    /// </summary>
    public static void Find(ArrayView<uint> histogram, int owned, uint rank, ArrayView<uint> scratch)
    {
        int first = Group.IdxX * owned;
        uint sum = 0;
        for (int i = 0; i < owned; i++) sum += histogram[first + i];
        uint upTo = GroupScan.Inclusive(sum, scratch);
        uint before = upTo - sum;
        if (before < rank && rank <= upTo)
        {
            int bin = first;
            uint running = before;
            for (int i = 0; i < owned; i++)
            {
                running += histogram[first + i];
                if (running < rank)
                {
                    before = running;
                    bin = first + i + 1;
                }
            }
            scratch[Bin] = (uint)bin;
            scratch[Before] = before;
        }
        Group.Barrier();
    }

    /// <summary>As <see cref="Find"/>, in the <see cref="SortableKey.TopCounts"/> counts of a set in memory from <paramref name="first"/> on. One warp searches; ends with a barrier.</summary>
    public static void FindTop(ArrayView<uint> counts, long first, uint rank, ArrayView<uint> scratch)
    {
        if (Group.IdxX < 32)
        {
            FindPair(counts, first + SortableKey.TopBins, 0, rank, 0u, scratch);
            int group = (int)scratch[Bin];
            FindPair(counts, first + group * SortableKey.GroupBins, group * SortableKey.GroupBins, rank, scratch[Before], scratch);
        }
        Group.Barrier();
    }

    // Two counts a lane; the warp's lanes see the result.
    private static void FindPair(ArrayView<uint> counts, long first, int firstBin, uint rank, uint before, ArrayView<uint> scratch)
    {
        int lane = Group.IdxX & 31;
        uint low = counts[first + 2 * lane], high = counts[first + 2 * lane + 1];
        uint upTo = before + GroupScan.WarpInclusive(low + high), start = upTo - low - high;
        Warp.Barrier();
        if (start < rank && rank <= upTo)
        {
            bool inHigh = rank > start + low;
            scratch[Bin] = (uint)(firstBin + 2 * lane + (inHigh ? 1 : 0));
            scratch[Before] = inHigh ? start + low : start;
        }
        Warp.Barrier();
    }
}
