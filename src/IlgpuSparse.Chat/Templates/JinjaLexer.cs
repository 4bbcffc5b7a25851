using System.Globalization;
using System.Text;

namespace IlgpuSparse.Chat.Templates;

/// <summary>
/// Cuts a template into text, expressions and statements. White space as chat templates are rendered everywhere: the line break after a statement is dropped, and so are blanks before one that begins its line.
/// </summary>
internal sealed class JinjaLexer(string source)
{
    private static readonly string[] s_symbols = ["//", "**", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|", "~", "+", "-", "*", "/", "%", "<", ">", "="];

    private readonly List<JinjaSegment> _segments = [];
    private int _at, _line = 1;

    /// <summary>The segments in order.</summary>
    /// <exception cref="ChatTemplateException">Something is not closed, or is no token.</exception>
    public static IReadOnlyList<JinjaSegment> Read(string source)
    {
        source = source.ReplaceLineEndings("\n");
        return new JinjaLexer(source.EndsWith('\n') ? source[..^1] : source).Run();
    }

    private List<JinjaSegment> Run()
    {
        bool stripStart = false, dropBreak = false;
        while (_at < source.Length)
        {
            int open = NextOpening(_at);
            char kind = open < source.Length ? source[open + 1] : ' ';
            char control = open + 2 < source.Length ? source[open + 2] : ' ';
            AddText(source[_at..open], stripStart, dropBreak, stripEnd: control == '-', stripLine: kind is '%' or '#' && control is not ('+' or '-'));
            Advance(open);
            if (open == source.Length) break;
            int line = _line;
            Advance(_at + 2 + (control is '-' or '+' ? 1 : 0));
            if (kind == '#')
            {
                int close = source.IndexOf("#}", _at, StringComparison.Ordinal);
                if (close < 0) throw Bad("a comment is not closed", line);
                stripStart = source[close - 1] == '-';
                Advance(close + 2);
                dropBreak = true;
                continue;
            }
            string end = kind == '{' ? "}}" : "%}";
            var tokens = new List<JinjaToken>();
            while (true)
            {
                while (_at < source.Length && char.IsWhiteSpace(source[_at])) Advance(_at + 1);
                if (_at >= source.Length) throw Bad($"'{(kind == '{' ? "{{" : "{%")}' is not closed", line);
                stripStart = source[_at] == '-' && string.CompareOrdinal(source, _at + 1, end, 0, 2) == 0;
                bool keepBreak = source[_at] == '+' && string.CompareOrdinal(source, _at + 1, end, 0, 2) == 0;
                if (stripStart || keepBreak) Advance(_at + 1);
                // a '}' that closes a mapping comes before the two that close the tag
                if (string.CompareOrdinal(source, _at, end, 0, 2) == 0 && (kind == '%' || Depth(tokens) == 0))
                {
                    Advance(_at + 2);
                    dropBreak = kind == '%' && !keepBreak;
                    break;
                }
                tokens.Add(Token());
            }
            tokens.Add(new JinjaToken(JinjaTokenKind.End, "", _line));
            if (kind == '%' && tokens is [{ Value: "raw" }, _])
            {
                int close = source.IndexOf("endraw", _at, StringComparison.Ordinal) is >= 0 and int name ? source.LastIndexOf("{%", name, StringComparison.Ordinal) : -1;
                if (close < _at) throw Bad("'raw' is not closed", line);
                AddText(source[_at..close], stripStart, dropBreak, source[close + 2] == '-', stripLine: true);
                Advance(source.IndexOf("%}", close, StringComparison.Ordinal) is >= 0 and int last ? last + 2 : throw Bad("'raw' is not closed", line));
                stripStart = source[_at - 3] == '-';
                dropBreak = true;
                continue;
            }
            _segments.Add(new JinjaSegment(kind, null, tokens, line));
        }
        return _segments;
    }

    private static int Depth(List<JinjaToken> tokens) => tokens.Count(t => t.IsSymbol("{")) - tokens.Count(t => t.IsSymbol("}"));

    private int NextOpening(int from)
    {
        for (int i = from; (i = source.IndexOf('{', i)) >= 0 && i + 1 < source.Length; i++)
            if (source[i + 1] is '{' or '%' or '#') return i;
        return source.Length;
    }

    private void AddText(string text, bool stripStart, bool dropBreak, bool stripEnd, bool stripLine)
    {
        bool atLineStart = _at == 0 || source[_at - 1] == '\n';
        if (stripStart) text = text.TrimStart();
        else if (dropBreak && text.StartsWith('\n'))
        {
            text = text[1..];
            atLineStart = true;
        }
        if (stripEnd) text = text.TrimEnd();
        else if (stripLine)
        {
            int end = text.Length;
            while (end > 0 && text[end - 1] is ' ' or '\t' && end > 0) end--;
            if (end == 0 ? atLineStart && !stripStart : text[end - 1] == '\n') text = text[..end];
        }
        if (text.Length > 0) _segments.Add(new JinjaSegment(' ', text, [], _line));
    }

    private JinjaToken Token()
    {
        char c = source[_at];
        int start = _at;
        if (c is '"' or '\'') return new JinjaToken(JinjaTokenKind.Text, Literal(c), _line);
        if (char.IsAsciiDigit(c))
        {
            while (_at < source.Length && (char.IsAsciiDigit(source[_at]) || source[_at] == '_' || (source[_at] == '.' && _at + 1 < source.Length && char.IsAsciiDigit(source[_at + 1])))) _at++;
            if (_at < source.Length && source[_at] is 'e' or 'E')
            {
                _at++;
                if (_at < source.Length && source[_at] is '+' or '-') _at++;
                while (_at < source.Length && char.IsAsciiDigit(source[_at])) _at++;
            }
            return new JinjaToken(JinjaTokenKind.Number, source[start.._at].Replace("_", "", StringComparison.Ordinal), _line);
        }
        if (char.IsLetter(c) || c == '_')
        {
            while (_at < source.Length && (char.IsLetterOrDigit(source[_at]) || source[_at] == '_')) _at++;
            return new JinjaToken(JinjaTokenKind.Name, source[start.._at], _line);
        }
        foreach (string symbol in s_symbols)
        {
            if (string.CompareOrdinal(source, _at, symbol, 0, symbol.Length) != 0) continue;
            _at += symbol.Length;
            return new JinjaToken(JinjaTokenKind.Symbol, symbol, _line);
        }
        throw Bad($"unexpected character '{c}'", _line);
    }

    private string Literal(char quote)
    {
        var text = new StringBuilder();
        int line = _line;
        Advance(_at + 1);
        while (true)
        {
            if (_at >= source.Length) throw Bad("a string is not closed", line);
            char c = source[_at];
            Advance(_at + 1);
            if (c == quote) return text.ToString();
            if (c != '\\' || _at >= source.Length)
            {
                text.Append(c);
                continue;
            }
            c = source[_at];
            Advance(_at + 1);
            int digits = c == 'x' ? 2 : c == 'u' ? 4 : 0;
            if (digits > 0 && _at + digits <= source.Length && ushort.TryParse(source.AsSpan(_at, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ushort code))
            {
                text.Append((char)code);
                Advance(_at + digits);
                continue;
            }
            text.Append(c switch { 'n' => "\n", 't' => "\t", 'r' => "\r", 'b' => "\b", 'f' => "\f", '\\' => "\\", '\'' => "'", '"' => "\"", '\n' => "", _ => "\\" + c });
        }
    }

    private void Advance(int to)
    {
        for (; _at < to && _at < source.Length; _at++)
            if (source[_at] == '\n') _line++;
        _at = to;
    }

    private static ChatTemplateException Bad(string what, int line) => new($"the chat template, line {line}: {what}");
}
