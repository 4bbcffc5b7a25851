using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Exact top-k of a set by one group of any size, without shuffles: four histograms of eight bits over the scores in memory, then positions by a sum over threads.</summary>
internal static class WholeSet
{
    private const int Bins = 256;

    /// <summary>Words of shared memory for groups of <paramref name="threads"/>.</summary>
    public static int Words(int threads) => Bins + 2 + 2 * threads;

    /// <summary>
    /// Selects set number <paramref name="set"/>, positions ascending. The whole group calls, with <see cref="Words"/> words of <paramref name="shared"/> memory for <paramref name="threads"/>
    /// (at least the group's size).
    /// </summary>
    public static void Select(SelectView select, VisibleRange range, long set, ArrayView<uint> shared, int threads)
    {
        var bins = shared.SubView(0, Bins);
        var found = shared.SubView(Bins, 2);
        var above = shared.SubView(Bins + 2, threads).Cast<int>();
        var tied = shared.SubView(Bins + 2 + threads, threads).Cast<int>();
        long scores = set * select.ScoreCapacity;
        int budget = range.Budget(select, set);
        uint known = 0, rank = (uint)budget;
        // one, in a form that the compiler does not see through: loops of constant length would be unrolled
        int one = Math.Min(1, Group.DimX);
        for (int shift = 24 * one; shift >= 0; shift -= 8)
        {
            for (int i = Group.IdxX; i < Bins; i += Group.DimX) bins[i] = 0u;
            Group.Barrier();
            for (int token = range.First + Group.IdxX; token <= range.Last; token += Group.DimX)
            {
                // a shift by 32 would be one by 0
                uint key = range.Key(token, select.Scores[scores + token]), prefix = shift == 24 ? 0u : key >> (shift + 8);
                if (prefix == known) Atomic.Add(ref bins[(int)((key >> shift) & (Bins - 1))], 1u);
            }
            Group.Barrier();
            if (Group.IdxX == 0)
            {
                uint left = rank, bin = 0;
                int open = 1;
                for (int i = Bins * one - 1; i >= 0; i--)
                {
                    if (open != 0)
                    {
                        bin = (uint)i;
                        if (bins[i] >= left) open = 0;
                        else left -= bins[i];
                    }
                }
                found[0] = bin;
                found[1] = left;
            }
            Group.Barrier();
            known = (known << 8) | found[0];
            rank = found[1];
        }

        Store(select, range, set, known, (int)rank, above, tied);
        if (Group.IdxX == 0) select.Counts[set] = budget;
    }

    /// <summary>Writes the positions of all keys above the threshold <paramref name="known"/> and of the first <paramref name="ties"/> that equal it, in order.</summary>
    public static void Store(SelectView select, VisibleRange range, long set, uint known, int ties, ArrayView<int> above, ArrayView<int> tied)
    {
        long scores = set * select.ScoreCapacity;
        // a stretch of tokens a thread, in order
        int visible = range.Last - range.First + 1, stretch = (visible + Group.DimX - 1) / Group.DimX;
        int first = range.First + Group.IdxX * stretch, end = Math.Min(first + stretch, range.Last + 1);
        int aboveCount = 0, tiedCount = 0;
        for (int token = first; token < end; token++)
        {
            uint key = range.Key(token, select.Scores[scores + token]);
            if (key > known) aboveCount++;
            if (key == known) tiedCount++;
        }
        above[Group.IdxX] = aboveCount;
        tied[Group.IdxX] = tiedCount;
        Group.Barrier();
        int aboveBefore = 0, tiedBefore = 0;
        for (int i = 0; i < Group.IdxX; i++)
        {
            aboveBefore += above[i];
            tiedBefore += tied[i];
        }
        long output = set * select.SetCapacity;
        for (int token = first; token < end; token++)
        {
            uint key = range.Key(token, select.Scores[scores + token]);
            if (key > known || (key == known && tiedBefore < ties)) select.Indices[output + aboveBefore + Math.Min(tiedBefore, ties)] = token;
            if (key > known) aboveBefore++;
            if (key == known) tiedBefore++;
        }
    }
}
