namespace IlgpuSparse.Evaluation;

/// <summary>What one attention made of an <see cref="EvaluationItem"/>.</summary>
/// <param name="Questions">In the order of the item.</param>
/// <param name="Steps">Decode steps through the attention.</param>
/// <param name="BytesRead">K, V and auxiliary bytes that those steps read.</param>
/// <param name="DenseBytesRead">What full attention reads for the same steps.</param>
public sealed record ItemResult(IReadOnlyList<QuestionResult> Questions, long Steps, long BytesRead, long DenseBytesRead);
