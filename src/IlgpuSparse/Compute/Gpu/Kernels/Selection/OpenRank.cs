using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The open tokens of a <see cref="SetFilter"/> in order, highest first, as far as they are selected.</summary>
internal static class OpenRank
{
    /// <summary>Parts that a bin is cut into where many tokens are open.</summary>
    public const int Parts = 1 << PartBits;

    private const int PartBits = 9;

    // as many as are compared with each other sooner than they are parted
    private const int Few = 192;

    /// <summary>Gives the first <paramref name="wanted"/> of the <paramref name="count"/> tokens in <see cref="SetFilterMemory.Open"/>, behind which zeros follow, to <paramref name="target"/>.</summary>
    public static void Store<TTarget>(TTarget target, int wanted, int count, SetFilterMemory memory)
        where TTarget : struct, IRankTarget
    {
        if (count > Few && memory.Parted.Length != 0) StoreParted(target, wanted, count, memory);
        else StoreCompared(target, wanted, count, memory.Open);
    }

    /// <summary>As <see cref="Store"/>: each token's rank is how many others are above it. Up to four neighbouring lanes count for one token.</summary>
    public static void StoreCompared<TTarget>(TTarget target, int wanted, int count, ArrayView<ulong> open)
        where TTarget : struct, IRankTarget
    {
        int shift = count * 4 <= Group.DimX ? 2 : count * 2 <= Group.DimX ? 1 : 0;
        int part = Group.IdxX & ((1 << shift) - 1);
        for (int start = 0; start < count; start += Group.DimX >> shift)
        {
            int own = start + (Group.IdxX >> shift);
            ulong mine = open[Math.Min(own, count)];
            int rank = 0;
            for (int other = part * 4; other < count; other += 4 << shift)
            {
                rank += open[other] > mine ? 1 : 0;
                rank += open[other + 1] > mine ? 1 : 0;
                rank += open[other + 2] > mine ? 1 : 0;
                rank += open[other + 3] > mine ? 1 : 0;
            }
            int neighbour = Warp.ShuffleXor(rank, 1);
            rank += shift > 0 ? neighbour : 0;
            neighbour = Warp.ShuffleXor(rank, 2);
            rank += shift > 1 ? neighbour : 0;
            if (part == 0 && own < count && rank < wanted) target.Put(rank, mine);
        }
    }

    // The bin's keys are spread evenly, so a part has a token or two, and a token is compared with those of its part alone.
    private static void StoreParted<TTarget>(TTarget target, int wanted, int count, SetFilterMemory memory)
        where TTarget : struct, IRankTarget
    {
        var counts = memory.Parts.SubView(0, Parts);
        var starts = memory.Parts.SubView(Parts, Parts);
        int owned = Parts / Group.DimX;
        for (int i = Group.IdxX; i < Parts; i += Group.DimX) counts[i] = 0u;
        uint least = Extreme(memory, count, uint.MaxValue), most = uint.MaxValue - Extreme(memory, count, 0u);
        int shift = Math.Max(0, 32 - IntrinsicMath.BitOperations.LeadingZeroCount(most - least) - PartBits);
        for (int i = Group.IdxX; i < count; i += Group.DimX) Atomic.Add(ref counts[Part(memory.Open[i], least, shift)], 1u);
        Group.Barrier();
        uint own = 0;
        for (int i = 0; i < owned; i++) own += counts[Group.IdxX * owned + i];
        uint start = GroupScan.Inclusive(own, memory.Totals) - own;
        for (int i = 0; i < owned; i++)
        {
            starts[Group.IdxX * owned + i] = start;
            start += counts[Group.IdxX * owned + i];
        }
        Group.Barrier();
        // the starts become ends
        for (int i = Group.IdxX; i < count; i += Group.DimX)
        {
            ulong entry = memory.Open[i];
            memory.Parted[(int)Atomic.Add(ref starts[Part(entry, least, shift)], 1u)] = entry;
        }
        Group.Barrier();
        for (int i = Group.IdxX; i < count; i += Group.DimX)
        {
            ulong mine = memory.Parted[i];
            int part = Part(mine, least, shift), end = (int)starts[part], rank = end - (int)counts[part];
            for (int other = rank, stop = end; other < stop; other++) rank += memory.Parted[other] > mine ? 1 : 0;
            if (rank < wanted) target.Put(rank, mine);
        }
    }

    // The least of the keys, for a mask of ones; for one of zeros the least of the inverted keys. The whole group calls.
    private static uint Extreme(SetFilterMemory memory, int count, uint mask)
    {
        uint least = uint.MaxValue;
        for (int i = Group.IdxX; i < count; i += Group.DimX) least = Math.Min(least, ~((uint)(memory.Open[i] >> 32) ^ mask));
        for (int d = 0; d < 5; d++) least = Math.Min(least, Warp.ShuffleXor(least, 1 << d));
        Group.Barrier();
        if ((Group.IdxX & 31) == 0) memory.Totals[Group.IdxX >> 5] = least;
        Group.Barrier();
        for (int w = 0; w < Group.DimX >> 5; w++) least = Math.Min(least, memory.Totals[w]);
        return least;
    }

    // Highest keys first.
    private static int Part(ulong entry, uint least, int shift) => Parts - 1 - (int)(((uint)(entry >> 32) - least) >> shift);
}
