namespace IlgpuSparse.Chat.Templates;

/// <summary>Text, <c>{{ expression }}</c> or <c>{% statement %}</c>.</summary>
/// <param name="Kind">' ' for text, '{' for an expression, '%' for a statement.</param>
/// <param name="Text">Of a text, what is written; else null.</param>
/// <param name="Tokens">Of the others.</param>
/// <param name="Line">Where it begins.</param>
internal sealed record JinjaSegment(char Kind, string? Text, IReadOnlyList<JinjaToken> Tokens, int Line);
