namespace IlgpuSparse.Evaluation;

/// <summary>A question about a <see cref="RetrievalText"/>, to be fed after its context.</summary>
/// <param name="Tokens">Tokens of the question.</param>
/// <param name="Answer">Tokens of the right answer.</param>
public sealed record RetrievalQuestion(int[] Tokens, int[] Answer);
