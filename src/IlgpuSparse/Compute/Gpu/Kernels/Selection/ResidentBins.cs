using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The histograms of a set's groups in memory, which each of them reads once all have written.</summary>
internal static class ResidentBins
{
    /// <summary>Words of shared memory for each warp in <see cref="Find"/>.</summary>
    public const int WarpWords = 256;

    // groups that a warp asks for before it adds the first
    private const int AtOnce = 5;

    private const int MaxWarps = ResidentScoreKernel.GroupSize / 32;

    /// <summary>Copies the group's histogram, with its groups of bins counted, to number <paramref name="place"/> of <paramref name="histograms"/>.</summary>
    public static void Tell(ArrayView<uint> counts, ArrayView<uint> histograms, long place)
    {
        ScoreBins.SumGroups(counts);
        Group.Barrier();
        var from = counts.Cast<U4>();
        var to = histograms.Cast<U4>();
        for (int i = Group.IdxX; i < ScoreBins.Counts / 4; i += Group.DimX) to[place * (ScoreBins.Counts / 4) + i] = from[i];
    }

    /// <summary>
    /// Where the set's token of rank <paramref name="wanted"/> (1 or more) lies, from <paramref name="groups"/> histograms that begin with number <paramref name="place"/>, for group <paramref name="own"/>. The warps share the groups out and add up in
    /// <paramref name="sums"/>, <see cref="WarpWords"/> words of shared memory each, which nobody needs any more; then each finds out for itself.
    /// </summary>
    public static SetBin Find(ArrayView<uint> histograms, long place, int groups, int own, uint wanted, ArrayView<uint> sums)
    {
        int half = (Group.DimX >> 5) * WarpWords / 2;
        var group = Among(histograms, place, groups, own, ScoreBins.Bins, ScoreBins.Bins / ScoreBins.GroupBins, 0u, wanted, sums.SubView(0, half).Cast<U4>());
        int first = group.Bin * ScoreBins.GroupBins;
        var result = Among(histograms, place, groups, own, first, ScoreBins.GroupBins, (uint)group.Before, wanted, sums.SubView(half, half).Cast<U4>());
        result.Bin += first;
        result.EarlierBefore += group.EarlierBefore;
        return result;
    }

    // Which of `bins` counts from number `first` on, two for each lane or for half of them, has the token, where `before` come earlier.
    private static SetBin Among(ArrayView<uint> histograms, long place, int groups, int own, int first, int bins, uint before, uint wanted, ArrayView<U4> sums)
    {
        int low = 2 * (Group.IdxX & 31);
        var sum = Sum(histograms, place, groups, own, first + Math.Min(low, bins - 2), low < bins ? 1u : 0u, sums);
        var result = SetBin.Of(low, sum.X, sum.Y, before, wanted);
        result.EarlierBefore = (int)GroupScan.WarpSum((low < result.Bin ? sum.Z : 0u) + (low + 1 < result.Bin ? sum.W : 0u));
        result.EarlierOpen = (int)GroupScan.WarpSum((low == result.Bin ? sum.Z : 0u) + (low + 1 == result.Bin ? sum.W : 0u));
        return result;
    }

    // Counts number bin (even) and bin + 1 of all groups (X and Y) and of those before this one (Z and W), for each warp; none without a mask.
    private static U4 Sum(ArrayView<uint> histograms, long place, int groups, int own, int bin, uint mask, ArrayView<U4> sums)
    {
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5, warps = Group.DimX >> 5;
        var pairs = histograms.SubView(place * ScoreBins.Counts, (long)groups * ScoreBins.Counts).Cast<U2>();
        U4 sum = default;
        for (int first = warp; first < groups; first += AtOnce * warps)
        {
            // all on their way before the first is needed
            for (int i = 0; i < AtOnce; i++)
            {
                int other = first + i * warps;
                var pair = Loads.Fresh(ref pairs[Math.Min(other, groups - 1) * (ScoreBins.Counts / 2) + (bin >> 1)]);
                uint counts = other < groups ? mask : 0u, before = other < own ? mask : 0u;
                sum.X += pair.X * counts;
                sum.Y += pair.Y * counts;
                sum.Z += pair.X * before;
                sum.W += pair.Y * before;
            }
        }
        sums[warp * 32 + lane] = sum;
        Group.Barrier();
        sum = default;
        for (int i = 0; i < MaxWarps; i++)
        {
            var part = sums[Math.Min(i, warps - 1) * 32 + lane];
            uint counts = i < warps ? 1u : 0u;
            sum.X += part.X * counts;
            sum.Y += part.Y * counts;
            sum.Z += part.Z * counts;
            sum.W += part.W * counts;
        }
        return sum;
    }
}
