namespace IlgpuSparse.Evaluation;

/// <summary>A context that is prefilled once and what is asked about it.</summary>
/// <param name="Name">Task and number: the same name from the same seed is the same item.</param>
/// <param name="Context">Tokens that are prefilled densely.</param>
/// <param name="Questions">Asked independently: each follows the bare context.</param>
public sealed record EvaluationItem(string Name, int[] Context, IReadOnlyList<RetrievalQuestion> Questions)
{
    /// <summary>Cache that the item needs.</summary>
    public int Capacity => Context.Length + Questions.Max(q => q.Tokens.Length + q.Answer.Length);
}
