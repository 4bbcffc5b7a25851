namespace IlgpuSparse.Chat;

/// <summary>Finds stop texts in a text that comes in pieces, wherever the pieces are cut: what may be the beginning of one is held back.</summary>
internal sealed class StopMatcher(IReadOnlyList<string> stops)
{
    private readonly string[] _stops = [.. stops.Where(s => s.Length > 0)];
    private string _held = "";

    /// <summary>The stop that was met; null before that.</summary>
    public string? Found { get; private set; }

    /// <summary>Adds <paramref name="text"/> and returns what is certain not to belong to a stop; after one was met, nothing.</summary>
    public string Append(string text)
    {
        if (Found is not null) return "";
        if (_stops.Length == 0) return text;
        _held += text;
        int at = int.MaxValue;
        foreach (string stop in _stops)
        {
            int place = _held.IndexOf(stop, StringComparison.Ordinal);
            if (place < 0 || place >= at) continue;
            at = place;
            Found = stop;
        }
        int certain = Found is null ? _held.Length - Beginning() : at;
        string result = _held[..certain];
        _held = _held[certain..];
        return result;
    }

    /// <summary>What was held back, when the text ends; nothing after a stop.</summary>
    public string Flush()
    {
        string rest = Found is null ? _held : "";
        _held = "";
        return rest;
    }

    // Length of the longest end of what is held that a stop begins with.
    private int Beginning()
    {
        for (int length = Math.Min(_held.Length, _stops.Max(s => s.Length) - 1); length > 0; length--)
            if (_stops.Any(s => s.Length > length && s.AsSpan(0, length).SequenceEqual(_held.AsSpan(_held.Length - length)))) return length;
        return 0;
    }
}
