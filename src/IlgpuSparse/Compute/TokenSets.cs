namespace IlgpuSparse.Compute;

/// <summary>Selected tokens: int32 positions <c>[row, set, Capacity]</c> in an order that depends on the scores alone, mostly ascending, and int32 counts <c>[row, set]</c>.</summary>
/// <param name="Indices">The positions.</param>
/// <param name="Counts">How many of them are valid.</param>
/// <param name="Sets">Sets a row: kv heads, or query heads with the paper's per-query-head option.</param>
/// <param name="Capacity">Room a set.</param>
/// <param name="Shares">Where a selection leaves each set's share of the estimated attention mass, fp32 <c>[row, set]</c>; null when nobody asks.</param>
/// <param name="Factors">Budget of each set over that of the rule, in units of 1/<see cref="SelectionRule.FactorUnits"/>: int32 <c>[row, set]</c> (see <see cref="SelectionRule.Scale"/>); null for the rule's own. Not disposed with the sets.</param>
public sealed record TokenSets(DeviceBuffer Indices, DeviceBuffer Counts, int Sets, int Capacity, DeviceBuffer? Shares = null, DeviceBuffer? Factors = null) : IDisposable
{
    /// <summary>Allocates <paramref name="sets"/> sets for each of <paramref name="rows"/> rows as scratch memory; all of it or none.</summary>
    /// <exception cref="InsufficientMemoryException">The device has not that much.</exception>
    internal static TokenSets Allocate(ComputeBackend backend, int rows, int sets, int capacity, bool shares)
    {
        var owned = new List<DeviceBuffer>();
        DeviceBuffer Own(long numbers)
        {
            owned.Add(backend.Allocate((long)rows * sets * numbers * sizeof(int), "scratch"));
            return owned[^1];
        }
        try
        {
            return new TokenSets(Own(capacity), Own(1), sets, capacity, shares ? Own(1) : null);
        }
        catch
        {
            foreach (var buffer in owned) buffer.Dispose();
            throw;
        }
    }

    /// <summary>The tokens of <paramref name="rows"/> rows from <paramref name="firstRow"/> on, a list a set: <c>[row, set]</c>. Waits for the device.</summary>
    internal int[][] ToLists(int firstRow, int rows)
    {
        long first = (long)firstRow * Sets;
        int count = rows * Sets;
        int[] counts = ((DeviceSpan)Counts).SkipFloats(first).ToArray<int>(count), indices = ((DeviceSpan)Indices).SkipFloats(first * Capacity).ToArray<int>(count * Capacity);
        return [.. counts.Select((tokens, set) => indices.AsSpan(set * Capacity, tokens).ToArray())];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Indices.Dispose();
        Counts.Dispose();
        Shares?.Dispose();
    }
}
