namespace IlgpuSparse.Calibration;

/// <summary>What calibration found for one (layer, kv head).</summary>
/// <param name="Ranking">All channels 0 .. d-1, the most telling first; a label takes the first r.</param>
/// <param name="Scores">The statistic by channel (not by rank), when the source has one.</param>
/// <param name="Mean">Mean of the key by channel: the offset of static labels. Null when the source has none.</param>
/// <param name="Deviation">Standard deviation of the key by channel: the scale of static labels. Null when the source has none.</param>
/// <param name="Basis">Directions for rotated labels. Null when the source has none.</param>
/// <param name="Plans">Bits that a search has dealt out; what is not among them is water-filled.</param>
/// <param name="Held">Share of the attention mass that a set of each of <see cref="TokenSplit.Shares"/> of the tokens holds, as calibration saw it. Null when the source has none.</param>
public sealed record HeadChannels(
    IReadOnlyList<int> Ranking, IReadOnlyList<float>? Scores = null, IReadOnlyList<float>? Mean = null, IReadOnlyList<float>? Deviation = null, LabelBasis? Basis = null, IReadOnlyList<LabelPlan>? Plans = null,
    IReadOnlyList<float>? Held = null)
{
    /// <summary>Bits by channel or direction of a label of <paramref name="kind"/> with <paramref name="bits"/> together.</summary>
    internal int[] Allocate(LabelKind kind, int bits) =>
        Plans?.FirstOrDefault(p => p.Kind == kind && p.Bits == bits) is { } plan ? [.. plan.Allocation] : BitAllocation.Fill(Codes(kind).Weight, bits);

    /// <summary>What the bits of a label of <paramref name="kind"/> are of.</summary>
    internal DirectionCodes Codes(LabelKind kind) =>
        kind == LabelKind.Rotated ? DirectionCodes.OfBasis(Basis ?? throw new InvalidOperationException("there is no basis")) : DirectionCodes.OfChannels(this);
}
