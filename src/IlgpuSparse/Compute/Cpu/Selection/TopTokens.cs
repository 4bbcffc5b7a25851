using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Selection;

/// <summary>
/// Exact top-m of a run of scores in about one pass: a sample gives a threshold that almost surely lies below the m-th best score, one pass keeps the few scores above it, and the m-th best of those is found by bisection
/// of their keys. If fewer than m were kept the sample misled, and everything is kept.
/// </summary>
internal readonly unsafe struct TopTokens<TLanes, T>
    where TLanes : struct, IKeyLanes<T>
    where T : struct
{
    // Shorter runs are kept whole.
    private const int LeastSampled = 2048;
    private const int Samples = 512;

    private readonly int* _positions;
    private readonly int* _keys;
    private readonly int* _work;
    private readonly int* _other;

    /// <summary>Uses <paramref name="scratch"/>, as large as <see cref="ScratchInts"/> says for the longest run.</summary>
    public TopTokens(int* scratch, int longest)
    {
        int room = Room(longest);
        _positions = scratch;
        _keys = _positions + room;
        _work = _keys + room;
        _other = _work + room;
    }

    /// <summary>Scratch for runs of <paramref name="longest"/>, in int32.</summary>
    public static long ScratchInts(int longest) => 4L * Room(longest);

    // full vectors are written at the end
    private static int Room(int longest) => Math.Max(longest, Samples) + 64 & ~15;

    /// <summary>Writes to <paramref name="target"/> the positions of the <paramref name="wanted"/> best of <paramref name="count"/> <paramref name="scores"/>, ascending from <paramref name="first"/>; among equals the first ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public void Select(float* scores, int count, int wanted, int first, int* target)
    {
        if (wanted <= 0) return;
        int kept = KeepByThreshold((int*)scores, count, wanted, first);
        if (kept < wanted) kept = KeepAll((int*)scores, count, first);
        for (int i = 0; i < kept; i += TLanes.Count) TLanes.Store(TLanes.Load(_keys + i), _work + i);
        int threshold = NthLargest(kept, wanted, out int above);
        Emit(kept, threshold, wanted - above, wanted, target);
    }

    // Keeps the scores that reach a threshold from a sample; -1 when the sample gives none.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private int KeepByThreshold(int* scores, int count, int wanted, int first)
    {
        double share = (double)wanted / count * Samples;
        // four standard deviations of the number of samples above the m-th best, and a few more for small shares
        int rank = (int)(share + 4 * Math.Sqrt(share) + 8);
        if (count < LeastSampled || rank > Samples / 2) return -1;
        // one score at a random place of each of as many equal parts: scores that repeat with the stride of the parts do not mislead
        for (int i = 0; i < Samples; i++)
        {
            long start = (long)i * count / Samples, end = (i + 1L) * count / Samples;
            uint scattered = unchecked((uint)(i + 1) * 2654435769u);
            _work[i] = scores[start + (long)(scattered * (ulong)(end - start) >> 32)];
        }
        for (int i = 0; i < Samples; i += TLanes.Count) TLanes.Store(TLanes.ToKeys(TLanes.Load(_work + i)), _work + i);
        int key = NthLargest(Samples, rank, out _);
        if (key == int.MinValue) return -1;
        T threshold = TLanes.Create(key ^ ((key >> 31) & int.MaxValue)), position = TLanes.Add(TLanes.Ascending, TLanes.Create(first)), stride = TLanes.Create(TLanes.Count);
        int kept = 0, read = 0;
        for (; read + TLanes.Count <= count; read += TLanes.Count)
        {
            kept += TLanes.CompressAtLeast(TLanes.Load(scores + read), threshold, position, _keys + kept, _positions + kept);
            position = TLanes.Add(position, stride);
        }
        if (read < count)
        {
            // all bits set is a NaN
            T last = TLanes.Or(TLanes.Load(scores + read), TLanes.Not(FirstLanes(count - read)));
            kept += TLanes.CompressAtLeast(last, threshold, position, _keys + kept, _positions + kept);
        }
        for (int i = 0; i < kept; i += TLanes.Count) TLanes.Store(TLanes.ToKeys(TLanes.Load(_keys + i)), _keys + i);
        return kept;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private int KeepAll(int* scores, int count, int first)
    {
        T position = TLanes.Add(TLanes.Ascending, TLanes.Create(first)), stride = TLanes.Create(TLanes.Count);
        for (int i = 0; i < count; i += TLanes.Count, position = TLanes.Add(position, stride))
        {
            TLanes.Store(TLanes.ToKeys(TLanes.Load(scores + i)), _keys + i);
            TLanes.Store(position, _positions + i);
        }
        return count;
    }

    // The wanted-th largest of the keys in _work, and how many are larger than it. Halves the range from the smallest to the largest key: at most 32 rounds, over fewer and fewer keys.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private int NthLargest(int count, int wanted, out int above)
    {
        int* keys = _work, spare = _other;
        above = 0;
        while (true)
        {
            Bounds(keys, count, spare, out int least, out int most);
            if (least == most) return least;
            // The upper half is (middle, most]: never empty, and neither is the lower.
            int middle = (int)(((long)least + most) >> 1), upper = 0, lower = 0;
            T pivot = TLanes.Create(middle);
            for (int i = 0; i < count; i += TLanes.Count)
            {
                T x = TLanes.Load(keys + i), valid = FirstLanes(count - i), high = TLanes.And(TLanes.Greater(x, pivot), valid), low = TLanes.And(TLanes.Not(high), valid);
                TLanes.Compress(x, low, spare + lower);
                TLanes.Compress(x, high, keys + upper); // never ahead of the reading
                upper += TLanes.CountTrue(high);
                lower += TLanes.CountTrue(low);
            }
            if (above + upper >= wanted)
            {
                count = upper;
            }
            else
            {
                above += upper;
                count = lower;
                int* chosen = spare;
                spare = keys;
                keys = chosen;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Bounds(int* keys, int count, int* lanes, out int least, out int most)
    {
        T min = TLanes.Create(int.MaxValue), max = TLanes.Create(int.MinValue);
        int i = 0;
        for (; i + TLanes.Count <= count; i += TLanes.Count)
        {
            T x = TLanes.Load(keys + i);
            min = TLanes.Min(min, x);
            max = TLanes.Max(max, x);
        }
        TLanes.Store(min, lanes);
        TLanes.Store(max, lanes + TLanes.Count);
        least = int.MaxValue;
        most = int.MinValue;
        for (int lane = 0; lane < TLanes.Count; lane++)
        {
            least = Math.Min(least, lanes[lane]);
            most = Math.Max(most, lanes[TLanes.Count + lane]);
        }
        for (; i < count; i++)
        {
            least = Math.Min(least, keys[i]);
            most = Math.Max(most, keys[i]);
        }
    }

    // Writes the positions of the keys above the threshold and of the first `ties` that equal it, in their order.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private void Emit(int kept, int threshold, int ties, int wanted, int* target)
    {
        T limit = TLanes.Create(threshold);
        int written = 0, i = 0;
        // until the ties are used up all that reach the threshold, then only those above it
        for (; ties > 0 && i < kept; i += TLanes.Count)
        {
            T x = TLanes.Load(_keys + i), valid = FirstLanes(kept - i);
            T same = TLanes.And(TLanes.Same(x, limit), valid);
            int equal = TLanes.CountTrue(same);
            if (equal > ties) break;
            ties -= equal;
            written += Put(TLanes.Or(TLanes.And(TLanes.Greater(x, limit), valid), same), i, written, wanted, target);
        }
        for (int end = Math.Min(i + TLanes.Count, kept); ties > 0 && i < end; i++)
        {
            if (_keys[i] < threshold) continue;
            if (_keys[i] == threshold) ties--;
            target[written++] = _positions[i];
        }
        for (; i < kept; i += TLanes.Count)
            written += Put(TLanes.And(TLanes.Greater(TLanes.Load(_keys + i), limit), FirstLanes(kept - i)), i, written, wanted, target);
    }

    // Full vectors as long as they stay inside the set, then exactly.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Put(T mask, int i, int written, int wanted, int* target)
    {
        int count = TLanes.CountTrue(mask);
        T positions = TLanes.Load(_positions + i);
        if (written + TLanes.Count <= wanted)
        {
            TLanes.Compress(positions, mask, target + written);
        }
        else if (count > 0)
        {
            TLanes.Compress(positions, mask, _work);
            for (int j = 0; j < count; j++) target[written + j] = _work[j];
        }
        return count;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T FirstLanes(int count) => TLanes.Greater(TLanes.Create(count), TLanes.Ascending);
}
