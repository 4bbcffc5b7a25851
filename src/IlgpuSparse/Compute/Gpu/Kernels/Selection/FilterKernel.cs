using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Second kernel of a selection over several groups a set: each finds the histogram's bin of the last selected token, keeps what is in it or above, in order; the last group
/// of the set counts the bin's own tokens to the end (<see cref="FilterEnd"/>).
/// </summary>
internal static class FilterKernel
{
    public const int GroupSize = 512;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true };

    /// <summary>Grid (chunks, sets, rows).</summary>
    public static void Run(SelectView select)
    {
        var bins = SharedMemory.Allocate<uint>(SortableKey.LowBins);
        var search = SharedMemory.Allocate<uint>(RankSearch.ScratchWords);
        var kept = SharedMemory.Allocate<ulong>(GroupScan.MaxWarps);
        var open = SharedMemory.Allocate<ulong>(GroupScan.MaxWarps);
        var word = SharedMemory.Allocate<uint>(2);
        int row = Grid.IdxZ, chunk = Grid.IdxX, tokens = KeyTile.Tokens(Group.DimX);
        long set = (long)row * Grid.DimY + Grid.IdxY;
        var range = VisibleRange.Of(select, row);
        int origin = range.Origin + chunk * tokens;
        var scratch = select.Scratch;
        if (origin <= range.Last)
        {
            var keys = new uint[KeyTile.PerThread];
            KeyTile.Load(select.Scores, set * select.ScoreCapacity, range, origin, keys);

            int budget = range.Budget(select);
            RankSearch.FindTop(scratch.Histogram, set * SortableKey.TopCounts, (uint)budget, search);
            uint known = SortableKey.TopBins - 1 - search[RankSearch.Bin];
            uint rank = (uint)budget - search[RankSearch.Before];

            uint keptCounts = 0, openCounts = 0;
            for (int i = 0; i < KeyTile.PerThread; i++)
            {
                uint top = keys[i] >> SortableKey.LowBits;
                if (keys[i] != 0u && top >= known) keptCounts += 1u << (8 * (i >> 2));
                if (keys[i] != 0u && top == known) openCounts += 1u << (8 * (i >> 2));
            }
            ulong keptStarts = KeyTile.Starts(keptCounts, kept, out int keptTotal);
            ulong openStarts = KeyTile.Starts(openCounts, open, out int openTotal);
            if (Group.IdxX == 0)
            {
                word[1] = (uint)Atomic.Add(ref scratch.CandidateCounts[set], openTotal);
                scratch.ChunkCounts[set * scratch.Chunks + chunk] = new U2 { X = (uint)keptTotal, Y = (uint)openTotal };
            }
            Group.Barrier();

            long survivors = set * scratch.Stride + (long)chunk * tokens, candidates = set * scratch.Stride + word[1];
            for (int quarter = 0; quarter < 4; quarter++)
            {
                int token = KeyTile.Token(origin, quarter);
                long keptPlace = survivors + KeyTile.Start(keptStarts, quarter), openPlace = candidates + KeyTile.Start(openStarts, quarter);
                for (int i = 0; i < 4; i++)
                {
                    uint key = keys[quarter * 4 + i], top = key >> SortableKey.LowBits;
                    if (key != 0u && top >= known)
                    {
                        scratch.Survivors[keptPlace] = new U2 { X = (uint)(token + i), Y = key };
                        keptPlace++;
                        if (top == known)
                        {
                            scratch.Candidates[openPlace] = ((uint)chunk << SortableKey.LowBits) | (key & ((1u << SortableKey.LowBits) - 1u));
                            openPlace++;
                        }
                    }
                }
            }

            int chunks = (range.Last - range.Origin) / tokens + 1;
            if (Arrival.IsLast(ref scratch.Arrivals[set], chunks, ref word[0])) FilterEnd.Run(select, set, chunks, known, rank, bins, search);
        }
    }
}
