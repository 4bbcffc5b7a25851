namespace IlgpuSparse.Generation;

/// <summary>What one head read in one decode step, and what it would have looked at.</summary>
/// <param name="Layer">The layer.</param>
/// <param name="Head">The token set: a kv head, or a query head where each has a set of its own.</param>
/// <param name="Positions">Positions that were read, ascending; null when all were.</param>
/// <param name="MassKept">Share of the exact attention weights (softmax over the whole context) that the tokens read hold, mean over the query heads of the set; 1 when all were read.</param>
/// <param name="Heat">Exact attention weights summed over equal parts of the context, <c>[<see cref="AttentionTrace.Columns"/>]</c>, mean over the query heads; sums to 1.</param>
public sealed record HeadTrace(int Layer, int Head, IReadOnlyList<int>? Positions, float MassKept, IReadOnlyList<float> Heat);
