using System.Text;

namespace IlgpuSparse.Chat;

/// <summary>
/// Unicode normalisation form C, which Qwen 2 applies before it splits text. Written out because <see cref="string.Normalize()"/> leaves text as it is in programs without
/// globalisation data, this tool among them, and ids must not depend on that.
/// </summary>
internal static class CanonicalComposition
{
    private const char FirstThatCanChange = '\u0300';

    /// <summary>The composed form of <paramref name="text"/> (well-formed UTF-16).</summary>
    public static string Of(string text)
    {
        if (text.AsSpan().IndexOfAnyExceptInRange('\0', (char)(FirstThatCanChange - 1)) < 0) return text;
        var characters = new List<int>(text.Length);
        foreach (var rune in text.EnumerateRunes()) Decompose(rune.Value, characters);
        Order(characters);
        Compose(characters);
        var result = new StringBuilder(text.Length);
        foreach (int c in characters) result.Append(new Rune(c));
        return result.ToString();
    }

    private static void Decompose(int c, List<int> characters)
    {
        if (!CanonicalTables.TryDecompose(c, out var parts))
        {
            characters.Add(c);
            return;
        }
        Decompose(parts.First, characters);
        if (parts.Second != 0) Decompose(parts.Second, characters);
    }

    /// <summary>Marks on one character in the order of their classes, equal ones as they came.</summary>
    private static void Order(List<int> characters)
    {
        for (int start = 0; start < characters.Count; start++)
        {
            int end = start, previous = 0;
            bool sorted = true;
            for (; end < characters.Count && CanonicalTables.Class(characters[end]) is > 0 and int next; end++)
            {
                sorted &= next >= previous;
                previous = next;
            }
            if (!sorted)
            {
                // stable, and no slower for a text of nothing but marks
                foreach (int c in characters.GetRange(start, end - start).OrderBy(CanonicalTables.Class)) characters[start++] = c;
            }
            start = end;
        }
    }

    /// <summary>Joins every character with the last beginning before it unless something of the same or a higher class stands between.</summary>
    private static void Compose(List<int> characters)
    {
        int starter = -1, written = 0, lastClass = -1;
        for (int i = 0; i < characters.Count; i++)
        {
            int c = characters[i];
            int kind = CanonicalTables.Class(c);
            if (starter >= 0 && lastClass < kind && CanonicalTables.TryCompose(characters[starter], c, out int composed))
            {
                characters[starter] = composed;
                continue;
            }
            if (kind == 0)
            {
                starter = written;
                lastClass = -1;
            }
            else
            {
                lastClass = kind;
            }
            characters[written++] = c;
        }
        characters.RemoveRange(written, characters.Count - written);
    }
}
