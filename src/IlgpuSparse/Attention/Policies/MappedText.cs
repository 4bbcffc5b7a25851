using IlgpuSparse.Calibration;

namespace IlgpuSparse.Attention.Policies;

/// <summary>A text with a channel map of its own: one sequence, or several that begin with the same blocks of the cache.</summary>
internal sealed class MappedText(OnlineCalibration calibration)
{
    private (OnlineCalibration Calibration, MappedLabels? Labels, int Unchecked)? _mark;

    /// <summary>What its map is made of.</summary>
    public OnlineCalibration Calibration { get; private set; } = calibration;

    /// <summary>Its labels; null before they were needed.</summary>
    public MappedLabels? Labels { get; private set; }

    /// <summary>Tokens counted in since its drift was looked at.</summary>
    public int Unchecked { get; set; }

    /// <summary>The cache blocks of the sequence that it was last seen as.</summary>
    public int[] Blocks { get; set; } = [];

    /// <summary>Tokens of that sequence.</summary>
    public int Length { get; set; }

    /// <summary>The pass that it was last seen in.</summary>
    public long Seen { get; set; }

    /// <summary>Exchanges the labels.</summary>
    public void Map(MappedLabels labels)
    {
        if (Labels != _mark?.Labels) Labels?.Dispose();
        Labels = labels;
        Unchecked = 0;
    }

    /// <summary>Remembers the statistics and the labels, for <see cref="Return"/>.</summary>
    public void Mark()
    {
        Unmark();
        _mark = (Calibration.Copy(), Labels, Unchecked);
    }

    /// <summary>Goes back to what <see cref="Mark"/> remembered; whether other labels were in use since.</summary>
    public bool Return()
    {
        if (_mark is not { } mark) return false;
        bool mapped = Labels != mark.Labels;
        if (mapped) Labels?.Dispose();
        (Calibration, Labels, Unchecked) = (mark.Calibration.Copy(), mark.Labels, mark.Unchecked);
        return mapped && Labels is not null;
    }

    /// <summary>Frees the labels; those of a mark, too.</summary>
    public void Free()
    {
        Unmark();
        Labels?.Dispose();
        Labels = null;
    }

    private void Unmark()
    {
        if (_mark is { Labels: { } marked } && marked != Labels) marked.Dispose();
        _mark = null;
    }
}
