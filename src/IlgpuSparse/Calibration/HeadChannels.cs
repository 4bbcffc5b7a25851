namespace IlgpuSparse.Calibration;

/// <summary>What calibration found for one (layer, kv head).</summary>
/// <param name="Ranking">All channels 0 .. d-1, the most telling first; a label takes the first r.</param>
/// <param name="Scores">The statistic by channel (not by rank), when the source has one.</param>
/// <param name="Mean">Mean of the key by channel: the offset of static labels. Null when the source has none.</param>
/// <param name="Deviation">Standard deviation of the key by channel: the scale of static labels. Null when the source has none.</param>
public sealed record HeadChannels(IReadOnlyList<int> Ranking, IReadOnlyList<float>? Scores = null, IReadOnlyList<float>? Mean = null, IReadOnlyList<float>? Deviation = null);
