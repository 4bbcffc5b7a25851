namespace IlgpuSparse.Chat.Templates;

/// <summary>Something that can be called, with arguments by place and by name.</summary>
internal delegate object? JinjaFunction(IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named);

/// <summary>A compiled expression.</summary>
internal delegate object? JinjaExpression(JinjaScope scope);

/// <summary>A compiled statement.</summary>
internal delegate JinjaFlow JinjaStatement(JinjaScope scope);

/// <summary>What follows a statement.</summary>
internal enum JinjaFlow
{
    Next,
    Continue,
    Break,
}
