namespace IlgpuSparse.Chat;

/// <summary>One message of a conversation.</summary>
/// <param name="Role">Who says it, as templates name them: <c>system</c>, <c>user</c>, <c>assistant</c>.</param>
/// <param name="Content">The text.</param>
public sealed record ChatTurn(string Role, string Content);
