namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Where a selection by mass ends: at the first token, in order of the keys, up to which there are <see cref="Most"/> of them, or <see cref="Least"/> with <see cref="Mass"/> together. The numbers are those that are
/// left after the tokens of higher bins.
/// </summary>
internal struct MassCut
{
    /// <summary>Mass that is enough.</summary>
    public ulong Mass;

    /// <summary>Mass of the tokens before.</summary>
    public ulong Before;

    /// <summary>Most tokens.</summary>
    public uint Most;

    /// <summary>Fewest tokens.</summary>
    public uint Least;

    /// <summary>The high bits of the last token's key, as far as they are known.</summary>
    public uint Known;

    /// <summary>A whole number of 8 bytes.</summary>
    public uint Unused;

    /// <summary>Whether <paramref name="count"/> tokens of <paramref name="mass"/> reach it.</summary>
    public readonly bool IsReached(uint count, ulong mass) => count >= Most || (count >= Least && mass >= Mass);

    /// <summary>What is left after <paramref name="count"/> tokens of <paramref name="mass"/> that do not reach it, in a bin whose bits are <paramref name="known"/>.</summary>
    public readonly MassCut After(uint count, ulong mass, uint known) => new()
    {
        Mass = Mass - Math.Min(Mass, mass),
        Before = Before + mass,
        Most = Most - count,
        Least = Least - Math.Min(Least, count),
        Known = known,
    };

    /// <summary>How many of <paramref name="count"/> tokens that weigh <paramref name="weight"/> each are needed; they reach it together.</summary>
    public readonly uint Needed(uint count, uint weight)
    {
        uint needed = Least;
        ulong full = (ulong)count * weight;
        if (Mass > full) needed = Most;
        // the division is by one thread, once a set
        else if (weight != 0u) needed = Math.Max(needed, (uint)((Mass + weight - 1u) / weight));
        return Math.Min(Math.Min(needed, Most), count);
    }
}
