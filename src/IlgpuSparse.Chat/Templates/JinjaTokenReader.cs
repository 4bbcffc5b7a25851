namespace IlgpuSparse.Chat.Templates;

/// <summary>Goes through the tokens of a statement or an expression, the last of which is an <see cref="JinjaTokenKind.End"/>.</summary>
/// <param name="tokens">All of them.</param>
/// <param name="at">Where to begin.</param>
internal class JinjaTokenReader(IReadOnlyList<JinjaToken> tokens, int at)
{
    private int _at = at;

    /// <summary>The token that comes next.</summary>
    public JinjaToken Current => tokens[_at];

    /// <summary>The one behind it.</summary>
    protected JinjaToken Following => tokens[Math.Min(_at + 1, tokens.Count - 1)];

    /// <summary>Takes the next token.</summary>
    public JinjaToken Take() => Current.Kind == JinjaTokenKind.End ? Current : tokens[_at++];

    /// <summary>Takes the next token if it is this symbol.</summary>
    public bool TakeSymbol(string symbol)
    {
        if (!Current.IsSymbol(symbol)) return false;
        _at++;
        return true;
    }

    /// <summary>Takes the next token if it is this name.</summary>
    public bool TakeName(string name)
    {
        if (!Current.IsName(name)) return false;
        _at++;
        return true;
    }

    /// <summary>Takes this symbol.</summary>
    public void Require(string symbol)
    {
        if (!TakeSymbol(symbol)) throw Bad($"expected '{symbol}' before {Current}");
    }

    /// <summary>Takes a name.</summary>
    public string RequireName() => Current.Kind == JinjaTokenKind.Name ? Take().Value : throw Bad($"expected a name before {Current}");

    /// <summary>Nothing may follow.</summary>
    public void RequireEnd()
    {
        if (Current.Kind != JinjaTokenKind.End) throw Bad($"{Current} is not expected here");
    }

    /// <summary>A message with the line.</summary>
    public ChatTemplateException Bad(string what) => new($"the chat template, line {Current.Line}: {what}");
}
