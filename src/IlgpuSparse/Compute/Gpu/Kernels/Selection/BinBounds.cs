using ILGPU;
using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// The bin in which a selection ends, as an interval of keys, so that what is done for a token is two comparisons: keys above <see cref="High"/> lie in bins before it, those above <see cref="Low"/> up to
/// <see cref="High"/> in it.
/// </summary>
internal struct BinBounds
{
    /// <summary>Words of shared memory that <see cref="Find"/> leaves its result in.</summary>
    public const int Words = 4;

    /// <summary>The largest key in the bin.</summary>
    public uint High;

    /// <summary>The largest key in the bins after it.</summary>
    public uint Low;

    /// <summary>Tokens in the bins before it.</summary>
    public int Before;

    // keys of the two infinities: of numbers, the least and the largest
    private const uint Least = 0x007fffffu, Largest = 0xff800000u;

    /// <summary>
    /// Finds the bin of the token of rank <paramref name="rank"/> of set <paramref name="set"/> and its bounds. The first warp's work; all threads may <see cref="Read"/> after a barrier.
    /// </summary>
    public static void Find(SelectScratch scratch, long set, uint rank, float inverse, ArrayView<uint> words)
    {
        if (Group.IdxX < 32)
        {
            ScoreBins.Find(scratch, set, rank, words);
            Warp.Barrier();
            int bin = (int)words[0];
            // bins do not rise with keys: each round leaves a thirty-second of the interval in which they pass the one looked for
            uint high = Least, low = Least, step = 1u << 27;
            int rounds = 7 * Math.Min(1, Group.DimX); // a loop of constant length would be unrolled
            for (int round = 0; round < rounds; round++)
            {
                high += step * Reaching(high, step, bin, inverse);
                low += step * Reaching(low, step, bin + 1, inverse);
                step = Math.Max(step >> 5, 1u);
            }
            if (Group.IdxX == 0)
            {
                // tokens that are always in are in the first bin, what is not a number in the last
                words[2] = bin == 0 ? SortableKey.Forced : high;
                words[3] = bin == ScoreBins.Bins - 1 ? 0u : low;
            }
        }
    }

    /// <summary>What <see cref="Find"/> left.</summary>
    public static BinBounds Read(ArrayView<uint> words)
    {
        BinBounds bounds;
        bounds.Before = (int)words[1];
        bounds.High = words[2];
        bounds.Low = words[3];
        return bounds;
    }

    // How many of the next 31 keys at distance step from the known one are in the bin or behind it.
    private static uint Reaching(uint known, uint step, int bin, float inverse)
    {
        uint lane = (uint)(Group.IdxX & 31), key = known + (lane + 1u) * step;
        bool isKey = lane < 31u && key > known && key <= Largest;
        bool reaches = ScoreBins.Of(SortableKey.Score(isKey ? key : Least), inverse) >= bin;
        return CountLanes(isKey && reaches ? 1u : 0u);
    }

    /// <summary>Lanes of the warp with a value that is not zero.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .pred lp; .reg .b32 lb; setp.ne.u32 lp, $0, 0; vote.sync.ballot.b32 lb, lp, 0xffffffff; popc.b32 $r, lb; }")]
    private static uint CountLanes(uint value)
    {
        uint count = value != 0u ? 1u : 0u;
        for (int d = 0; d < 5; d++) count += Warp.ShuffleXor(count, 1 << d);
        return count;
    }
}
