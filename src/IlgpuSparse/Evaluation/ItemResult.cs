namespace IlgpuSparse.Evaluation;

/// <summary>What one attention made of an <see cref="EvaluationItem"/>.</summary>
/// <param name="Questions">In the order of the item.</param>
/// <param name="Steps">Decode steps through the attention.</param>
/// <param name="BytesRead">K, V and auxiliary bytes that those steps read.</param>
/// <param name="DenseBytesRead">What full attention reads for the same steps.</param>
/// <param name="Fidelity">How close a sample of the steps came to full attention; null where none was looked at.</param>
public sealed record ItemResult(IReadOnlyList<QuestionResult> Questions, long Steps, long BytesRead, long DenseBytesRead, AttentionFidelity? Fidelity = null);
