using System.Numerics;

namespace IlgpuSparse.Compute.Cpu.Selection;

/// <summary>Shortens a set of the best tokens to those that hold enough of the estimated mass: what selection by mass does after exact top-k, whose prefix it takes.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Scale"><see cref="TokenMass.Scale"/> of its temperature.</param>
internal readonly unsafe record struct MassTrim(SelectionRule Rule, float Scale)
{
    // 11, 11 and 10 bits of a key
    private const int Bits = 11;
    private const int Bins = 1 << Bits;

    /// <summary>Bytes of scratch.</summary>
    public const int ScratchBytes = Bins * (sizeof(ulong) + sizeof(int));

    /// <summary>
    /// Shortens the <paramref name="count"/> ascending positions <paramref name="set"/>, the budget's choice among the tokens <paramref name="first"/> .. <paramref name="position"/>; returns how many are left, and their
    /// share of the mass in <paramref name="share"/>. <paramref name="scores"/> are indexed by position.
    /// </summary>
    public int Run(float* scores, int first, int position, int* set, int count, byte* scratch, out float share)
    {
        int visible = position + 1 - first, sinks = Rule.Sinks, recent = Math.Max(1, Rule.Recent);
        float maximum = Maximum(scores + first, visible);
        ulong total = Sum(scores + first, visible, maximum), held = 0;
        // the forced tokens are the set's first and last
        int open = Math.Max(0, count - sinks - recent), start = open > 0 ? sinks : count;
        for (int i = 0; i < start; i++) held += Weight(scores[set[i]], maximum);
        for (int i = start + open; i < count; i++) held += Weight(scores[set[i]], maximum);
        int* target = set + start;
        if (open > 0)
        {
            int least = Math.Max(0, Rule.Least(visible) - sinks - recent);
            ulong enough = TokenMass.Target(total, Rule.Share);
            int kept = Rule.Share == 0 ? open : Shorten(scores, target, open, least, enough - Math.Min(enough, held), maximum, scratch);
            for (int i = 0; i < kept; i++) held += Weight(scores[target[i]], maximum);
            for (int i = start + open; i < count; i++) target[kept + i - start - open] = set[i];
            count -= open - kept;
        }
        share = held >= total ? 1f : (float)((double)held / total);
        return count;
    }

    // The first of the `count` tokens in order of their scores that are at least `least` and hold `enough`, or all.
    private int Shorten(float* scores, int* tokens, int count, int least, ulong enough, float maximum, byte* scratch)
    {
        if (least == 0 && enough == 0) return 0;
        ulong* masses = (ulong*)scratch;
        int* counts = (int*)(masses + Bins);
        uint known = 0;
        int wanted = least;
        for (int shift = 32 - Bits; shift >= 0; shift -= shift == Bits - 1 ? Bits - 1 : Bits)
        {
            int bits = shift == 0 ? Bits - 1 : Bits, mask = (1 << bits) - 1;
            new Span<ulong>(masses, mask + 1).Clear();
            new Span<int>(counts, mask + 1).Clear();
            for (int i = 0; i < count; i++)
            {
                float score = scores[tokens[i]];
                uint key = Key(score);
                // a shift by 32 would be one by 0
                if ((shift == 32 - Bits ? 0u : key >> (shift + bits)) != known) continue;
                int bin = (int)(key >> shift) & mask;
                counts[bin]++;
                masses[bin] += Weight(score, maximum);
            }
            int end = mask;
            while (end >= 0 && (counts[end] < wanted || masses[end] < enough))
            {
                wanted -= Math.Min(wanted, counts[end]);
                enough -= Math.Min(enough, masses[end]);
                end--;
            }
            if (end < 0) return count;
            known = (known << bits) | (uint)end;
            if (shift == 0) break;
        }
        // equal scores weigh the same
        ulong weight = masses[known & (Bins / 2 - 1)] / (ulong)counts[known & (Bins / 2 - 1)];
        int ties = weight == 0 ? wanted : Math.Max(wanted, (int)((enough + weight - 1) / weight)), kept = 0;
        for (int i = 0; i < count; i++)
        {
            uint key = Key(scores[tokens[i]]);
            if (key < known || (key == known && ties-- <= 0)) continue;
            tokens[kept++] = tokens[i];
        }
        return kept;
    }

    private uint Weight(float score, float maximum) => TokenMass.Weight(score, maximum, Scale);

    // As an unsigned integer in the same order: NaN lowest, both zeros one.
    private static uint Key(float score)
    {
        if (float.IsNaN(score)) return 0;
        uint bits = BitConverter.SingleToUInt32Bits(score + 0f);
        return bits ^ ((uint)((int)bits >> 31) | 0x80000000u);
    }

    private static float Maximum(float* scores, int count)
    {
        var best = new Vector<float>(float.NegativeInfinity);
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            var x = *(Vector<float>*)(scores + i);
            best = Vector.ConditionalSelect(Vector.GreaterThan(x, best), x, best); // NaN is never greater
        }
        float result = float.NegativeInfinity;
        for (int lane = 0; lane < Vector<float>.Count; lane++) result = Math.Max(result, best[lane]);
        for (; i < count; i++) result = scores[i] > result ? scores[i] : result;
        return result;
    }

    // The sum of TokenMass.Weight: the same steps in lanes, with a product by a power of two in place of the shift.
    private ulong Sum(float* scores, int count, float maximum)
    {
        Vector<float> most = new(maximum), scale = new(Scale), beyond = new(TokenMass.Beyond);
        var sums = Vector<ulong>.Zero;
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            var score = *(Vector<float>*)(scores + i);
            var distance = Vector.ConditionalSelect(Vector.Equals(score, most), Vector<float>.Zero, (most - score) * scale);
            var counted = Vector.LessThan(distance, beyond);
            var scaled = Vector.ConvertToInt32(Vector.ConditionalSelect(counted, distance, Vector<float>.Zero));
            var x = Vector.AsVectorUInt32(scaled >>> 4 & new Vector<int>(0xffff));
            var power = new Vector<uint>(65536) - (x * (new Vector<uint>(TokenMass.C1) - (x * (new Vector<uint>(TokenMass.C2) - (x * (new Vector<uint>(TokenMass.C3) - (x * TokenMass.C4 >>> 16)) >>> 16)) >>> 16)) >>> 16);
            var halving = Vector.AsVectorSingle(new Vector<int>(127 + 14) - (scaled >>> TokenMass.FractionBits) << 23);
            var weight = Vector.ConvertToInt32(Vector.ConvertToSingle(Vector.AsVectorInt32(power)) * halving) & Vector.AsVectorInt32(counted);
            Vector.Widen(Vector.AsVectorUInt32(weight), out var low, out var high);
            sums += low + high;
        }
        ulong result = Vector.Sum(sums);
        for (; i < count; i++) result += Weight(scores[i], maximum);
        return result;
    }
}
