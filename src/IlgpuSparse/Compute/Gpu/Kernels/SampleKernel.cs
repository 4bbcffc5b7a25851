using ILGPU;
using ILGPU.Algorithms;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>
/// Draws the next token of each row at a temperature above zero, one group a row. Probabilities are integers in 2^-40 of the most likely token's, so that their sums are exact in any order. The token at which a sum in a given order
/// passes a target is found by narrowing its rank two bits at a time: each pass sums what lies before three ranks. Nothing is sorted.
/// </summary>
/// <remarks>
/// Draw n (from 1) of row r takes the SplitMix64 number of state seed + r · <see cref="RowStep"/> + n · <see cref="DrawStep"/>: row 0 draws what <see cref="Generation.Sampler"/> does.
/// </remarks>
internal static class SampleKernel
{
    public const int GroupSize = 512;

    /// <summary>From one draw to the next.</summary>
    public const ulong DrawStep = 0x9E3779B97F4A7C15;

    /// <summary>From one row to the next.</summary>
    public const ulong RowStep = 0xD1342543DE82EF95;

    private const float One = 1099511627776f; // 2^40
    private const int Partials = GroupSums.Partials;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { Unroll = 0 };

    /// <summary>Grid of rows.</summary>
    /// <param name="logits"><c>[row, Vocabulary]</c>.</param>
    /// <param name="draws">Draws so far <c>[row]</c>, counted up when one is made.</param>
    /// <param name="ids">The tokens <c>[row]</c>; -1 where no logit is finite.</param>
    /// <param name="args">Sizes and options.</param>
    public static void Run(ArrayView<float> logits, ArrayView<int> draws, ArrayView<int> ids, SampleArgs args)
    {
        var shared = SharedMemory.Allocate<ulong>(3 * GroupSize);
        int row = Grid.IdxX;
        long first = (long)row * args.Vocabulary;

        ulong best = ulong.MaxValue;
        for (int i = Group.IdxX; i < args.Vocabulary; i += Group.DimX) best = Math.Min(best, Place(logits[first + i], i));
        best = Least(shared, best);
        int token = TokenAt(best);
        if (token >= 0)
        {
            var filter = new SampleFilter { Floor = args.Least, Largest = logits[first + token], CutRank = uint.MaxValue, CutId = int.MaxValue };
            bool sorted = args.TopK > 0 || args.TopP < 1UL << 32;
            if (args.TopK > 0)
            {
                filter.Counting = 1;
                if (Sum(shared, logits, first, args, filter) > (ulong)args.TopK) filter = Cut(shared, logits, first, args, filter, (ulong)(args.TopK - 1));
                filter.Counting = 0;
            }
            if (args.TopP < 1UL << 32)
            {
                ulong all = Sum(shared, logits, first, args, filter);
                // the least sum of whole tokens that reaches the share: the token that holds its last unit
                ulong share = (all >> 32) * args.TopP + (((all & 0xffffffffu) * args.TopP + 0xffffffffu) >> 32);
                filter = Cut(shared, logits, first, args, filter, share > 0 ? share - 1 : 0);
            }
            filter.Floor = args.Floor;
            ulong total = Sum(shared, logits, first, args, filter);
            ulong target = High(Random(args.Seed + (ulong)row * RowStep + (ulong)(draws[row] + 1) * DrawStep), total);
            if (sorted) token = Cut(shared, logits, first, args, filter, target).CutId;
            else
            {
                filter.ById = 1;
                token = (int)Find(shared, logits, first, args, filter, args.IdBits, target).Rank;
            }
        }
        if (Group.IdxX == 0)
        {
            ids[row] = token;
            draws[row]++;
        }
    }

    /// <summary>Order of the logits, the largest first.</summary>
    public static uint Rank(float logit)
    {
        // zeros are equal
        uint bits = logit == 0f ? 0 : Interop.FloatAsInt(logit);
        return (bits & 0x80000000u) != 0 ? bits : 0x7fffffffu - bits;
    }

    /// <summary>Order of the tokens: rank, then id; last of all what is not finite.</summary>
    public static ulong Place(float logit, int id)
    {
        bool finite = (Interop.FloatAsInt(logit) & 0x7f800000u) != 0x7f800000u;
        return finite ? (ulong)Rank(logit) << 32 | (uint)id : ulong.MaxValue;
    }

    /// <summary>The token at a <see cref="Place"/>; -1 for what is not finite.</summary>
    public static int TokenAt(ulong place) => place == ulong.MaxValue ? -1 : (int)(place & 0xffffffffu);

    // The filter that ends with the token at which the sum passes target.
    private static SampleFilter Cut(ArrayView<ulong> shared, ArrayView<float> logits, long first, SampleArgs args, SampleFilter filter, ulong target)
    {
        var (rank, rest) = Find(shared, logits, first, args, filter, 32, target);
        var equals = filter;
        equals.ById = 1;
        equals.OneRank = 1;
        equals.Rank = rank;
        var (id, _) = Find(shared, logits, first, args, equals, args.IdBits, rest);
        filter.CutRank = rank;
        filter.CutId = (int)id;
        return filter;
    }

    // The rank (or id) at which the sum passes target, and what is left of target before it.
    private static (uint Rank, ulong Left) Find(ArrayView<ulong> shared, ArrayView<float> logits, long first, SampleArgs args, SampleFilter filter, int bits, ulong target)
    {
        uint rank = 0;
        ulong before = 0;
        for (int shift = (bits + 1 & ~1) - 2; shift >= 0; shift -= 2)
        {
            ulong sum0 = 0, sum1 = 0, sum2 = 0;
            uint step = 1u << shift;
            for (int i = Group.IdxX; i < args.Vocabulary; i += Group.DimX)
            {
                float logit = logits[first + i];
                ulong weight = Weight(logit, i, args, filter);
                uint order = filter.ById != 0 ? (uint)i : Rank(logit);
                if (order < rank + step) sum0 += weight;
                if (order < rank + 2 * step) sum1 += weight;
                if (order < rank + 3 * step) sum2 += weight;
            }
            shared[Group.IdxX] = sum0;
            shared[GroupSize + Group.IdxX] = sum1;
            shared[2 * GroupSize + Group.IdxX] = sum2;
            Group.Barrier();
            Fold(shared, 3);
            sum0 = Total(shared, 0);
            sum1 = Total(shared, 1);
            sum2 = Total(shared, 2);
            Group.Barrier();
            uint digit = 0;
            if (sum0 <= target)
            {
                digit = 1;
                before = sum0;
            }
            if (sum1 <= target)
            {
                digit = 2;
                before = sum1;
            }
            if (sum2 <= target)
            {
                digit = 3;
                before = sum2;
            }
            rank += digit << shift;
        }
        return (rank, target - before);
    }

    private static ulong Sum(ArrayView<ulong> shared, ArrayView<float> logits, long first, SampleArgs args, SampleFilter filter)
    {
        ulong sum = 0;
        for (int i = Group.IdxX; i < args.Vocabulary; i += Group.DimX) sum += Weight(logits[first + i], i, args, filter);
        shared[Group.IdxX] = sum;
        Group.Barrier();
        Fold(shared, 1);
        sum = Total(shared, 0);
        Group.Barrier();
        return sum;
    }

    private static ulong Weight(float logit, int id, SampleArgs args, SampleFilter filter)
    {
        uint rank = Rank(logit);
        float p = XMath.Exp((logit - filter.Largest) * args.InverseTemperature);
        // not finite: what is no number fails the first comparison, infinities the second
        bool inside = p >= filter.Floor && p <= 1f && (rank < filter.CutRank || (rank == filter.CutRank && id <= filter.CutId)) && (filter.OneRank == 0 || rank == filter.Rank);
        ulong weight = filter.Counting != 0 ? 1UL : (ulong)(p * One);
        return inside ? weight : 0UL;
    }

    // GroupSums for integers: each row of the group's numbers to Partials.
    private static void Fold(ArrayView<ulong> shared, int rows)
    {
        for (int k = Group.IdxX; k < rows * Partials; k += Group.DimX)
        {
            int row = k / Partials * GroupSize, lane = k & (Partials - 1);
            ulong sum = 0;
            for (int i = lane; i < Group.DimX; i += Partials) sum += shared[row + i];
            shared[row + lane] = sum;
        }
        Group.Barrier();
    }

    private static ulong Total(ArrayView<ulong> shared, int row)
    {
        ulong sum = 0;
        for (int i = 0; i < Partials; i++) sum += shared[row * GroupSize + i];
        return sum;
    }

    /// <summary>The least of the values of a group of a multiple of <see cref="GroupSums.Partials"/> threads, for all of them; <paramref name="shared"/> has room for one each.</summary>
    public static ulong Least(ArrayView<ulong> shared, ulong value)
    {
        shared[Group.IdxX] = value;
        Group.Barrier();
        if (Group.IdxX < Partials)
        {
            for (int i = Group.IdxX; i < Group.DimX; i += Partials) value = Math.Min(value, shared[i]);
            shared[Group.IdxX] = value;
        }
        Group.Barrier();
        for (int i = 0; i < Partials; i++) value = Math.Min(value, shared[i]);
        Group.Barrier();
        return value;
    }

    private static ulong Random(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    // The upper half of a product: a uniform number below total from 64 random bits.
    private static ulong High(ulong random, ulong total)
    {
        ulong a = random >> 32, b = random & 0xffffffffu, c = total >> 32, d = total & 0xffffffffu;
        ulong middle = a * d + ((b * d) >> 32);
        return a * c + (middle >> 32) + ((b * c + (middle & 0xffffffffu)) >> 32);
    }
}
