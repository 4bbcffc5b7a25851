using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Second kernel of a selection by mass over several groups a set: it keeps what the budget could hold, and adds up the mass of everything and of the kept tokens by bin; the last group of
/// the set finds the bin in which the selection ends.
/// </summary>
internal static class MassFilterKernel
{
    public const int GroupSize = 512;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true, HoldsNext = true };

    /// <summary>Grid (chunks, sets, rows).</summary>
    public static void Run(SelectView select)
    {
        var low = SharedMemory.Allocate<uint>(SortableKey.TopBins);
        var high = SharedMemory.Allocate<uint>(SortableKey.TopBins);
        var search = SharedMemory.Allocate<uint>(RankSearch.ScratchWords);
        var sums = SharedMemory.Allocate<ulong>(MassSearch.SumWords);
        var kept = SharedMemory.Allocate<ulong>(GroupScan.MaxWarps);
        int row = Grid.IdxZ, chunk = Grid.IdxX, tokens = KeyTile.Tokens(Group.DimX);
        long set = (long)row * Grid.DimY + Grid.IdxY;
        var range = VisibleRange.Of(select, row);
        int origin = range.Origin + chunk * tokens;
        var scratch = select.Scratch;
        if (origin <= range.Last)
        {
            var keys = new uint[KeyTile.PerThread];
            KeyTile.Load(select.Scores, set * select.ScoreCapacity, range, origin, keys);
            uint best = scratch.Maxima[set];
            float maximum = SortableKey.Score(best);
            RankSearch.FindTop(scratch.Histogram, set * SortableKey.TopCounts, (uint)range.Budget(select, set), search);

            // no token that has a mass lies in other bins
            int firstBin = SortableKey.TopBin(best), endBin = (int)search[RankSearch.Bin] + 1;
            for (int bin = firstBin + Group.IdxX; bin < endBin; bin += Group.DimX)
            {
                low[bin] = 0u;
                high[bin] = 0u;
            }
            Group.Barrier();
            uint known = (uint)(SortableKey.TopBins - endBin), keptCounts = 0;
            ulong mass = 0;
            for (int i = 0; i < KeyTile.PerThread; i++)
            {
                uint top = keys[i] >> SortableKey.LowBits, weight = MassSearch.Weight(keys[i], maximum, select.MassScale);
                mass += weight;
                if (keys[i] != 0u && top >= known)
                {
                    keptCounts += 1u << (8 * (i >> 2));
                    MassBins.AddMass(low, high, SortableKey.TopBin(keys[i]), weight);
                }
            }
            ulong keptStarts = KeyTile.Starts(keptCounts, kept, out int keptTotal);
            long survivors = set * scratch.Stride + (long)chunk * tokens;
            for (int quarter = 0; quarter < 4; quarter++)
            {
                int token = KeyTile.Token(origin, quarter);
                long keptPlace = survivors + KeyTile.Start(keptStarts, quarter);
                for (int i = 0; i < 4; i++)
                {
                    uint key = keys[quarter * 4 + i];
                    if (key != 0u && key >> SortableKey.LowBits >= known)
                    {
                        scratch.Survivors[keptPlace] = new U2 { X = (uint)(token + i), Y = key };
                        keptPlace++;
                    }
                }
            }

            // the barrier in Starts lies between the sums in shared memory and here
            for (int bin = firstBin + Group.IdxX; bin < endBin; bin += Group.DimX)
            {
                ulong sum = ((ulong)high[bin] << 32) | low[bin];
                if (sum != 0ul) Atomic.Add(ref scratch.Masses[set * SortableKey.TopBins + bin], sum);
            }
            MassSearch.Inclusive(mass, sums, out mass);
            if (Group.IdxX == 0)
            {
                Atomic.Add(ref scratch.Totals[2 * set], mass);
                scratch.ChunkCounts[set * scratch.Chunks + chunk] = new U2 { X = (uint)keptTotal, Y = 0u };
            }
            int chunks = (range.Last - range.Origin) / tokens + 1;
            if (Arrival.IsLast(ref scratch.Arrivals[set], chunks, ref search[RankSearch.Before])) End(select, range, set, maximum, low, high, search, sums, kept);
        }
    }

    private static void End(SelectView select, VisibleRange range, long set, float maximum, ArrayView<uint> low, ArrayView<uint> high, ArrayView<uint> search, ArrayView<ulong> sums, ArrayView<ulong> kept)
    {
        var scratch = select.Scratch;
        MassSearch.Inclusive(MassSearch.ForcedMass(select, range, set * select.ScoreCapacity, maximum), kept, out ulong forced);
        var masses = scratch.Masses.Cast<U2>();
        for (int bin = Group.IdxX; bin < SortableKey.TopBins; bin += Group.DimX)
        {
            long at = set * SortableKey.TopBins + bin;
            var sum = Loads.Fresh(ref masses[at]);
            low[bin] = sum.X;
            high[bin] = sum.Y;
            masses[at] = default;
        }
        Group.Barrier();
        var total = Loads.Fresh(ref scratch.Totals.Cast<U2>()[2 * set]);
        ulong open = ((ulong)total.Y << 32) | total.X;
        // the counts stay where they are
        var bins = new MassBins { Counts = scratch.Histogram.SubView(set * SortableKey.TopCounts, SortableKey.TopBins), Low = low, High = high };
        var cut = MassSearch.Find(bins, SortableKey.TopBins / Group.DimX, SortableKey.TopBits, MassSearch.Cut(select, range, set, open, forced), search, sums);
        for (int i = Group.IdxX; i < SortableKey.TopCounts; i += Group.DimX) scratch.Histogram[set * SortableKey.TopCounts + i] = 0u;
        if (Group.IdxX == 0)
        {
            scratch.Cuts[set] = cut;
            scratch.Totals[2 * set + 1] = forced;
        }
    }
}
