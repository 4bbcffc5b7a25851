namespace IlgpuSparse.Chat.Templates;

/// <summary>Kinds of <see cref="JinjaToken"/>.</summary>
internal enum JinjaTokenKind
{
    Name,
    Text,
    Number,
    Symbol,
    End,
}

/// <summary>A piece of an expression.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Value">Its spelling; of a text, without quotes and escapes.</param>
/// <param name="Line">Line of the template.</param>
internal readonly record struct JinjaToken(JinjaTokenKind Kind, string Value, int Line)
{
    /// <summary>Whether it is this operator or bracket.</summary>
    public bool IsSymbol(string symbol) => Kind == JinjaTokenKind.Symbol && Value == symbol;

    /// <summary>Whether it is this name.</summary>
    public bool IsName(string name) => Kind == JinjaTokenKind.Name && Value == name;

    public override string ToString() => Kind == JinjaTokenKind.End ? "the end" : $"'{Value}'";
}
