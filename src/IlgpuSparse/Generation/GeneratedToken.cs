namespace IlgpuSparse.Generation;

/// <summary>A token that was drawn.</summary>
/// <param name="Id">The token.</param>
/// <param name="LogProbability">Natural logarithm of its probability by the model, before temperature and filters; null when nobody asked.</param>
/// <param name="MostLikely">The most likely tokens in its place, most likely first; empty when nobody asked.</param>
/// <param name="Trace">What was read for it; null when nobody asked, and for the first token, which comes from the prompt's dense pass.</param>
public sealed record GeneratedToken(int Id, float? LogProbability, IReadOnlyList<TokenLogProbability> MostLikely, AttentionTrace? Trace);
