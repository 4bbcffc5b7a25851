namespace IlgpuSparse.Cache;

/// <summary>What decode steps have read of K and V that lie in host memory (<see cref="HostKvCache"/>). A row is a token's K and V of one kv head.</summary>
/// <param name="Steps">Decode steps, those computed ahead and dropped counted.</param>
/// <param name="HostRows">Selected rows that came from host memory.</param>
/// <param name="HotRows">Selected rows that were found among the hot ones.</param>
/// <param name="ResidentRows">Selected rows of blocks that stay on the device.</param>
/// <param name="AheadRows">Selected rows that had been brought before they were asked for.</param>
/// <param name="PredictedRows">All rows that were brought ahead, for what was predicted.</param>
/// <param name="BusBytes">Bytes of K and V that came over the bus, those of dense layers and of whole layers for prompts counted.</param>
public readonly record struct OffloadCounts(long Steps, long HostRows, long HotRows, long ResidentRows, long AheadRows, long PredictedRows, long BusBytes)
{
    /// <summary>Selected rows that were neither on the device nor worth fetching (<see cref="Llama.DecoderOptions.KvLateLeast"/>); counted nowhere else.</summary>
    public long DroppedRows { get; init; }

    /// <summary>Share of the selected rows outside of the resident blocks that were hot.</summary>
    public double HitRate => HostRows + AheadRows + HotRows > 0 ? (double)HotRows / (HostRows + AheadRows + HotRows) : 0;

    /// <summary>Share of the selected rows that were neither resident nor hot, and had been brought ahead.</summary>
    public double PredictionRate => HostRows + AheadRows > 0 ? (double)AheadRows / (HostRows + AheadRows) : 0;

    /// <summary>Share of the selected rows outside of the resident blocks that were dropped.</summary>
    public double DropRate => HostRows + AheadRows + HotRows + DroppedRows > 0 ? (double)DroppedRows / (HostRows + AheadRows + HotRows + DroppedRows) : 0;

    /// <summary>Bytes over the bus of an average step; right for counts that hold no prompts.</summary>
    public long BusBytesPerStep => Steps > 0 ? BusBytes / Steps : 0;

    /// <summary>What was counted after <paramref name="earlier"/>.</summary>
    public OffloadCounts Since(OffloadCounts earlier) =>
        new(Steps - earlier.Steps, HostRows - earlier.HostRows, HotRows - earlier.HotRows, ResidentRows - earlier.ResidentRows, AheadRows - earlier.AheadRows, PredictedRows - earlier.PredictedRows, BusBytes - earlier.BusBytes) { DroppedRows = DroppedRows - earlier.DroppedRows };
}
