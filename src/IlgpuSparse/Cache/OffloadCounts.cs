namespace IlgpuSparse.Cache;

/// <summary>What decode steps have read of K and V that lie in host memory (<see cref="HostKvCache"/>). A row is a token's K and V of one kv head.</summary>
/// <param name="Steps">Decode steps, those computed ahead and dropped counted.</param>
/// <param name="HostRows">Selected rows that came from host memory.</param>
/// <param name="HotRows">Selected rows that were found among the hot ones.</param>
/// <param name="ResidentRows">Selected rows of blocks that stay on the device.</param>
/// <param name="BusBytes">Bytes of K and V that came over the bus, those of dense layers and of whole layers for prompts counted.</param>
public readonly record struct OffloadCounts(long Steps, long HostRows, long HotRows, long ResidentRows, long BusBytes)
{
    /// <summary>Share of the selected rows outside of the resident blocks that were hot.</summary>
    public double HitRate => HostRows + HotRows > 0 ? (double)HotRows / (HostRows + HotRows) : 0;

    /// <summary>Bytes over the bus of an average step; right for counts that hold no prompts.</summary>
    public long BusBytesPerStep => Steps > 0 ? BusBytes / Steps : 0;

    /// <summary>What was counted after <paramref name="earlier"/>.</summary>
    public OffloadCounts Since(OffloadCounts earlier) =>
        new(Steps - earlier.Steps, HostRows - earlier.HostRows, HotRows - earlier.HotRows, ResidentRows - earlier.ResidentRows, BusBytes - earlier.BusBytes);
}
