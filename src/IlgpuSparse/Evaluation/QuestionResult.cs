namespace IlgpuSparse.Evaluation;

/// <summary>What became of one question.</summary>
/// <param name="Right">Whether every token of the answer was the most likely one.</param>
/// <param name="Losses">Negative log-likelihood of each token of the answer, natural logarithm.</param>
public sealed record QuestionResult(bool Right, double[] Losses);
