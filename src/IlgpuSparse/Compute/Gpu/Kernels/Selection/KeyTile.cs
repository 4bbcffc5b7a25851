using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Sixteen keys a thread, in registers: four quarters of four consecutive tokens. The tokens of a quarter follow those of the quarters before it over the whole group, so that loads are
/// coalesced and short contexts use every thread.
/// </summary>
internal static class KeyTile
{
    /// <summary>Keys a thread.</summary>
    public const int PerThread = 16;

    /// <summary>Tokens of the tile of a group of <paramref name="threads"/>.</summary>
    public static int Tokens(int threads) => threads * PerThread;

    /// <summary>Token of quarter <paramref name="quarter"/> that this thread begins with.</summary>
    public static int Token(int origin, int quarter) => origin + (quarter * Group.DimX + Group.IdxX) * 4;

    /// <summary>Reads the scores from <paramref name="origin"/> (a multiple of 4) on.</summary>
    public static void Load(ArrayView<float> scores, long set, VisibleRange range, int origin, uint[] keys)
    {
        var quads = scores.Cast<F4>();
        for (int quarter = 0; quarter < 4; quarter++)
        {
            int token = Token(origin, quarter);
            keys[quarter * 4] = 0u;
            keys[quarter * 4 + 1] = 0u;
            keys[quarter * 4 + 2] = 0u;
            keys[quarter * 4 + 3] = 0u;
            if (token <= range.Last)
            {
                var score = Loads.Fresh(ref quads[(set + token) >> 2]);
                keys[quarter * 4] = range.Key(token, score.X);
                keys[quarter * 4 + 1] = range.Key(token + 1, score.Y);
                keys[quarter * 4 + 2] = range.Key(token + 2, score.Z);
                keys[quarter * 4 + 3] = range.Key(token + 3, score.W);
            }
        }
    }

    /// <summary>
    /// From four counts of this thread, one a quarter in each byte, to how many are counted before the thread's first token of each quarter, in 16 bits each.
    /// <paramref name="totals"/> is shared memory of <see cref="GroupScan.MaxWarps"/>, used by this call alone; passes one barrier.
    /// </summary>
    public static ulong Starts(uint counts, ArrayView<ulong> totals, out int total)
    {
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5;
        uint inWarp = GroupScan.WarpInclusive(counts);
        if (lane == 31) totals[warp] = Spread(inWarp);
        Group.Barrier();
        ulong upTo = GroupScan.WarpInclusive(lane < (Group.DimX >> 5) ? totals[lane] : 0ul);
        ulong before = Warp.Shuffle(upTo, Math.Max(warp - 1, 0));
        ulong all = Warp.Shuffle(upTo, 31);
        if (warp == 0) before = 0ul;
        total = (int)((all & 0xffff) + ((all >> 16) & 0xffff) + ((all >> 32) & 0xffff) + (all >> 48));
        return before + Spread(inWarp - counts) + (all << 16) + (all << 32) + (all << 48);
    }

    /// <summary>The number of quarter <paramref name="quarter"/> in <paramref name="starts"/>.</summary>
    public static int Start(ulong starts, int quarter) => (int)(starts >> (16 * quarter)) & 0xffff;

    private static ulong Spread(uint bytes) =>
        (bytes & 0xffu) | ((ulong)(bytes & 0xff00u) << 8) | ((ulong)(bytes & 0xff0000u) << 16) | ((ulong)(bytes & 0xff000000u) << 24);
}
