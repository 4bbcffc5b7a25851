namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>What a label found of planted attention.</summary>
/// <param name="Label">The label.</param>
/// <param name="Bits">Bits that it keeps a token, all counted.</param>
/// <param name="Context">Tokens.</param>
/// <param name="Planted">Share of the planted keys that its sets hold.</param>
/// <param name="Mass">Share of the attention mass that its sets hold.</param>
internal sealed record LabelRow(string Label, int Bits, int Context, double Planted, double Mass);
