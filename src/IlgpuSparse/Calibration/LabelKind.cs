namespace IlgpuSparse.Calibration;

/// <summary>What the bits of a label are of.</summary>
public enum LabelKind
{
    /// <summary>The first channels of the ranking, all with as many bits.</summary>
    Channels,
    /// <summary>Channels with as many bits as each is worth, a fixed number together.</summary>
    Mixed,
    /// <summary>Directions of a <see cref="LabelBasis"/> with as many bits as each is worth.</summary>
    Rotated,
}
