using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Selection of a set by mass by one group of any size, without shuffles: as <see cref="SelectPortableKernel"/>, with the mass beside the counts.</summary>
internal static class MassPortableKernel
{
    public const int GroupSize = SelectPortableKernel.GroupSize;

    private const int Bins = 256;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize);

    /// <summary>Grid (sets, rows).</summary>
    public static void Run(SelectView select)
    {
        var bins = new MassBins { Counts = SharedMemory.Allocate<uint>(Bins), Low = SharedMemory.Allocate<uint>(Bins), High = SharedMemory.Allocate<uint>(Bins) };
        var maxima = SharedMemory.Allocate<uint>(GroupSize);
        var masses = SharedMemory.Allocate<ulong>(2 * GroupSize);
        var above = SharedMemory.Allocate<int>(GroupSize);
        var tied = SharedMemory.Allocate<int>(GroupSize);
        var found = SharedMemory.Allocate<uint>(4);
        var left = SharedMemory.Allocate<ulong>(2);
        int row = Grid.IdxY;
        long set = (long)row * Grid.DimX + Grid.IdxX, scores = set * select.ScoreCapacity;
        var range = VisibleRange.Of(select, row);

        uint best = 0;
        for (int token = range.First + Group.IdxX; token <= range.Last; token += Group.DimX) best = Math.Max(best, SortableKey.Of(select.Scores[scores + token]));
        maxima[Group.IdxX] = best;
        Group.Barrier();
        for (int i = 0; i < Group.DimX; i++) best = Math.Max(best, maxima[i]);
        float maximum = SortableKey.Score(best);
        ulong open = 0, forced = 0;
        for (int token = range.First + Group.IdxX; token <= range.Last; token += Group.DimX)
        {
            float score = select.Scores[scores + token];
            ulong weight = TokenMass.Weight(score, maximum, select.MassScale);
            if (range.Key(token, score) == SortableKey.Forced) forced += weight;
            else open += weight;
        }
        masses[2 * Group.IdxX] = open;
        masses[2 * Group.IdxX + 1] = forced;
        Group.Barrier();
        open = 0;
        forced = 0;
        for (int i = 0; i < Group.DimX; i++)
        {
            open += masses[2 * i];
            forced += masses[2 * i + 1];
        }

        var cut = MassSearch.Cut(select, range, set, open, forced);
        for (int shift = 24; shift >= 0; shift -= 8)
        {
            bins.Clear(Bins);
            for (int token = range.First + Group.IdxX; token <= range.Last; token += Group.DimX)
            {
                // a shift by 32 would be one by 0
                uint key = range.Key(token, select.Scores[scores + token]), prefix = shift == 24 ? 0u : key >> (shift + 8);
                if (prefix == cut.Known) bins.Add((int)((key >> shift) & (Bins - 1)), MassSearch.Weight(key, maximum, select.MassScale));
            }
            Group.Barrier();
            if (Group.IdxX == 0)
            {
                uint count = 0;
                ulong mass = 0;
                int bin = Bins - 1;
                while (bin > 0 && !cut.IsReached(count + bins.Counts[bin], mass + bins.Mass(bin)))
                {
                    count += bins.Counts[bin];
                    mass += bins.Mass(bin);
                    bin--;
                }
                cut = cut.After(count, mass, (cut.Known << 8) | (uint)bin);
                found[0] = cut.Known;
                found[1] = cut.Most;
                found[2] = cut.Least;
                left[0] = cut.Mass;
                left[1] = cut.Before;
            }
            Group.Barrier();
            cut.Known = found[0];
            cut.Most = found[1];
            cut.Least = found[2];
            cut.Mass = left[0];
            cut.Before = left[1];
        }

        uint known = cut.Known;
        if (Group.IdxX == 0)
        {
            uint weight = MassSearch.Weight(known, maximum, select.MassScale), needed = cut.Needed(bins.Counts[(int)(known & (Bins - 1))], weight);
            MassSearch.Finish(select, range, set, cut, needed, weight, open + forced);
            found[3] = needed;
        }
        Group.Barrier();
        WholeSet.Store(select, range, set, known, (int)found[3], above, tied);
    }
}
