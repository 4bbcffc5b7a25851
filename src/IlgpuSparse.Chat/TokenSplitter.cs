using System.Buffers;

namespace IlgpuSparse.Chat;

/// <summary>Finds special tokens in text, leftmost first and the longest where several begin at one place.</summary>
internal sealed class TokenSplitter
{
    private readonly SearchValues<char> _firstCharacters;
    private readonly Dictionary<char, (string Text, int Id)[]> _byFirst; // longest first

    /// <summary>Looks for <paramref name="tokens"/>; empty ones never match.</summary>
    public TokenSplitter(IEnumerable<KeyValuePair<string, int>> tokens)
    {
        _byFirst = tokens.Where(t => t.Key.Length > 0).GroupBy(t => t.Key[0])
            .ToDictionary(g => g.Key, g => g.OrderByDescending(t => t.Key.Length).Select(t => (t.Key, t.Value)).ToArray());
        _firstCharacters = SearchValues.Create([.. _byFirst.Keys]);
    }

    /// <summary>Whether there is nothing to look for.</summary>
    public bool IsEmpty => _byFirst.Count == 0;

    /// <summary>The token that begins at <paramref name="position"/>, its length 0 when none does.</summary>
    public (int Length, int Id) Match(ReadOnlySpan<char> text, int position)
    {
        if (_byFirst.TryGetValue(text[position], out var candidates))
        {
            var rest = text[position..];
            foreach (var (token, id) in candidates)
            {
                if (rest.StartsWith(token, StringComparison.Ordinal)) return (token.Length, id);
            }
        }
        return (0, -1);
    }

    /// <summary>The next token at or after <paramref name="from"/>; its length is 0 when there is none.</summary>
    public (int Start, int Length, int Id) Next(ReadOnlySpan<char> text, int from)
    {
        while (from < text.Length)
        {
            int step = text[from..].IndexOfAny(_firstCharacters);
            if (step < 0) break;
            from += step;
            var (length, id) = Match(text, from);
            if (length > 0) return (from, length, id);
            from++;
        }
        return (text.Length, 0, -1);
    }
}
