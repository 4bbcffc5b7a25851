using IlgpuSparse.Generation;

namespace IlgpuSparse.Chat;

/// <summary>A part of an answer.</summary>
/// <param name="Text">Whole characters that are certain now; may be empty while a character or a possible stop is incomplete.</param>
/// <param name="Token">The token that came; null for what was held back until the end.</param>
public sealed record TextPiece(string Text, GeneratedToken? Token);
