namespace IlgpuSparse.Generation;

/// <summary>What one decode step read, by layer and head.</summary>
/// <param name="Position">Position of the token that attended: as many tokens lie before it.</param>
/// <param name="Heads">By layer, and in a layer by token set: kv heads, or query heads where each has a set of its own.</param>
public sealed record AttentionTrace(int Position, IReadOnlyList<HeadTrace> Heads)
{
    /// <summary>Columns of <see cref="HeadTrace.Heat"/>.</summary>
    public const int Columns = 96;
}
