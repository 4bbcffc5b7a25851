using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// A histogram of scores whose bins are narrow where scores are: in units of the spread that the query lets expect, 128 bins to one near zero, half as many after each further octave. A bin
/// holds a thousandth of the tokens, so that few lanes of a warp count in the same one and few tokens share the bin of the last selected. What is selected does not depend on the spread.
/// </summary>
internal static class ScoreBins
{
    /// <summary>Bins, highest scores first.</summary>
    public const int Bins = 2048;

    /// <summary>Bins of a group; groups are counted too, so that a search reads 32 counts and then 64.</summary>
    public const int GroupBins = 64;

    /// <summary>Counts of a set: the bins, then the groups.</summary>
    public const int Counts = Bins + Bins / GroupBins;

    /// <summary>log2 of the codes of a bin, see <see cref="Code"/>: so many that a code has 24 bits.</summary>
    public const int CodeShift = CodeBits - 11;

    /// <summary>Bits of a code.</summary>
    public const int CodeBits = 24;

    private const int Half = Bins / 2;

    // the bits of 1
    private const int One = 0x3f800000;

    /// <summary>The bin of <paramref name="score"/>; <paramref name="inverse"/> is one over the expected spread. What is not a number is last.</summary>
    public static int Of(float score, float inverse) => At(score, inverse, 0);

    /// <summary>The place of <paramref name="score"/> in a finer order, 8192 codes to a bin: its bin is the code shifted by <see cref="CodeShift"/>.</summary>
    public static int Code(float score, float inverse) => At(score, inverse, CodeShift);

    // A bin's number with so many more bits.
    private static int At(float score, float inverse, int shift)
    {
        // fused with the addition in one kernel and not in another, the same score would have two bins
        float x = Ptx.Product(score, inverse), distance = 1f + Math.Abs(x);
        // one and more, so that the octave is in the exponent
        int one = One >> (16 - shift), half = Half << shift, octave = Math.Min((int)(Interop.FloatAsInt(distance) >> (16 - shift)), one + half - 1);
        // what is not a number is not zero or more, and farthest
        return x >= 0f ? one + half - 1 - octave : half - one + octave;
    }

    /// <summary>A score within a few steps of the least one in the bins before <paramref name="bin"/> (1 or more), for one over <paramref name="spread"/>; not about zero, where many scores have one place.</summary>
    public static float NearLeast(int bin, float spread)
    {
        // where a sum of one and the distance from zero is rounded up to the bound
        float bound = Interop.IntAsFloat((uint)One + ((uint)Math.Abs(Half - bin) << 16)), before = Interop.IntAsFloat(Interop.FloatAsInt(bound) - 1u);
        float distance = (bound - 1f - 0.5f * (bound - before)) * spread;
        return bin < Half ? distance : -distance;
    }

    /// <summary>The bin of the token with <paramref name="key"/>: of its score, or the first for one that is always in.</summary>
    public static int OfKey(uint key, float inverse)
    {
        int bin = Of(SortableKey.Score(key), inverse);
        return key == SortableKey.Forced ? 0 : bin;
    }

    /// <summary>Adds a group's histogram to the set's.</summary>
    public static void Flush(ArrayView<uint> bins, SelectScratch scratch, long set)
    {
        int lane = Group.IdxX & 31;
        long first = set * Counts;
        for (int group = Group.IdxX >> 5; group < Bins / GroupBins; group += Group.DimX >> 5)
        {
            int bin = group * GroupBins + lane;
            uint low = bins[bin], high = bins[bin + 32], sum = low + high;
            if (low != 0u) Atomic.Add(ref scratch.Bins[first + bin], low);
            if (high != 0u) Atomic.Add(ref scratch.Bins[first + bin + 32], high);
            sum = GroupScan.WarpSum(sum);
            if (lane == 0 && sum != 0u) Atomic.Add(ref scratch.Bins[first + Bins + group], sum);
        }
    }

    /// <summary>Counts the groups of bins of a histogram in shared memory, behind the bins.</summary>
    public static void SumGroups(ArrayView<uint> counts)
    {
        int lane = Group.IdxX & 31;
        for (int group = Group.IdxX >> 5; group < Bins / GroupBins; group += Group.DimX >> 5)
        {
            uint sum = SumGroup(counts, group);
            if (lane == 0) counts[Bins + group] = sum;
        }
    }

    /// <summary>The count of a group of bins, for each lane of a warp.</summary>
    public static uint SumGroup(ArrayView<uint> counts, int group)
    {
        int bin = group * GroupBins + (Group.IdxX & 31);
        return GroupScan.WarpSum(counts[bin] + counts[bin + 32]);
    }

    /// <summary>
    /// Leaves in <paramref name="found"/> the bin of the token of rank <paramref name="rank"/> (1 or more) of the set whose counts begin at <paramref name="first"/> of <paramref name="counts"/>, which other groups have added to, and
    /// the number of tokens in the bins before it. One warp searches; all threads see the result after a barrier.
    /// </summary>
    public static void Find(ArrayView<uint> counts, long first, uint rank, ArrayView<uint> found)
    {
        if (Group.IdxX < 32)
        {
            int lane = Group.IdxX;
            uint count = Loads.Fresh(ref counts[first + Bins + lane]);
            uint upTo = GroupScan.WarpInclusive(count), before = upTo - count;
            if (before < rank && rank <= upTo)
            {
                found[0] = (uint)lane;
                found[1] = before;
            }
            Warp.Barrier();
            int group = (int)found[0];
            before = found[1];
            Warp.Barrier();
            var pair = Loads.Fresh(ref counts.Cast<U2>()[(first + group * GroupBins + 2 * lane) >> 1]);
            upTo = before + GroupScan.WarpInclusive(pair.X + pair.Y);
            uint start = upTo - pair.X - pair.Y;
            if (start < rank && rank <= upTo)
            {
                bool inHigh = rank > start + pair.X;
                found[0] = (uint)(group * GroupBins + 2 * lane + (inHigh ? 1 : 0));
                found[1] = inHigh ? start + pair.X : start;
            }
        }
    }
}
