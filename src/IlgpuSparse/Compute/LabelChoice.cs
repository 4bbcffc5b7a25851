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

    /// <summary>
    /// Keys <c>[row, kvHead, Shape.HeadDim]</c> of the rows' own tokens, whose labels are still to be made: before the step, or within it, since a token is always in the set of its own query. Not for rows that see one another's.
    /// </summary>
    public DeviceSpan? Keys { get; init; }
}
