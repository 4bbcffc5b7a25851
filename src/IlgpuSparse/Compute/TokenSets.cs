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
    /// <inheritdoc/>
    public void Dispose()
    {
        Indices.Dispose();
        Counts.Dispose();
        Shares?.Dispose();
    }
}
