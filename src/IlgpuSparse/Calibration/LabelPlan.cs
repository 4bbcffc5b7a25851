namespace IlgpuSparse.Calibration;

/// <summary>Bits that a search has dealt out.</summary>
/// <param name="Kind">Channels or directions; not <see cref="LabelKind.Channels"/>.</param>
/// <param name="Bits">Bits together.</param>
/// <param name="Allocation">Bits by channel or direction.</param>
public sealed record LabelPlan(LabelKind Kind, int Bits, IReadOnlyList<int> Allocation);
