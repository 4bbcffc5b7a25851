using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>A histogram of tokens and of their mass in shared memory; the sums of 64 bits are two words each, because shared memory adds 32 bits at a time.</summary>
internal struct MassBins
{
    /// <summary>Tokens of each bin.</summary>
    public ArrayView<uint> Counts;

    /// <summary>Low words of the masses.</summary>
    public ArrayView<uint> Low;

    /// <summary>High words of the masses.</summary>
    public ArrayView<uint> High;

    /// <summary>Sets the first <paramref name="bins"/> bins to zero; ends with a barrier.</summary>
    public readonly void Clear(int bins)
    {
        for (int i = Group.IdxX; i < bins; i += Group.DimX)
        {
            Counts[i] = 0u;
            Low[i] = 0u;
            High[i] = 0u;
        }
        Group.Barrier();
    }

    /// <summary>Counts a token of <paramref name="weight"/>.</summary>
    public readonly void Add(int bin, uint weight)
    {
        Atomic.Add(ref Counts[bin], 1u);
        AddMass(Low, High, bin, weight);
    }

    /// <summary>Adds to a sum of two words: whatever the order, as many carries as the low word wraps round.</summary>
    public static void AddMass(ArrayView<uint> low, ArrayView<uint> high, int bin, uint weight)
    {
        if (weight != 0u)
        {
            uint before = Atomic.Add(ref low[bin], weight);
            if (before + weight < before) Atomic.Add(ref high[bin], 1u);
        }
    }

    /// <summary>Mass of a bin.</summary>
    public readonly ulong Mass(int bin) => ((ulong)High[bin] << 32) | Low[bin];
}
