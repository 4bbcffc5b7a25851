namespace IlgpuSparse.Compute;

/// <summary>What <see cref="ComputeBackend.AttendByLabels"/> chooses tokens by, and where the choice goes: the arguments of <see cref="ComputeBackend.ScoreAndSelect"/>.</summary>
/// <param name="Shape">Sizes of keys and queries as labels see them.</param>
/// <param name="Labels">Labels.</param>
/// <param name="Queries">Queries of the labels <c>[row, head, Shape.HeadDim]</c>.</param>
/// <param name="Reduction">How the heads of a set are reduced.</param>
/// <param name="Rule">How many tokens.</param>
/// <param name="Scores">Memory for scores.</param>
/// <param name="Sets">Where the sets go.</param>
internal sealed record LabelChoice(AttentionShape Shape, LabelLayer Labels, DeviceSpan Queries, GroupReduction Reduction, SelectionRule Rule, TokenScores Scores, TokenSets Sets)
{
    /// <summary>Whether somebody reads the scores afterwards.</summary>
    public bool KeepsScores { get; init; }
}
