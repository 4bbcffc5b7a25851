namespace IlgpuSparse.Chat.Templates;

/// <summary>The methods of Python's texts, lists and mappings that templates call.</summary>
internal static class JinjaMethods
{
    /// <summary><paramref name="owner"/>.<paramref name="name"/>(<paramref name="arguments"/>).</summary>
    /// <exception cref="ChatTemplateException">There is no such method.</exception>
    public static object? Call(object? owner, string name, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named)
    {
        switch (owner)
        {
            case string text: return OfText(text, name, arguments);
            case Dictionary<string, object?> map:
                switch (name)
                {
                    case "items": return Items(map);
                    case "keys": return JinjaValues.Elements(map);
                    case "values": return map.Values.ToList();
                    case "get" when arguments.Count > 0: return arguments[0] is string key && map.TryGetValue(key, out object? value) ? value : arguments.Count > 1 ? arguments[1] : null;
                }
                break;
            case List<object?> list:
                switch (name)
                {
                    case "append" when arguments.Count == 1:
                        list.Add(arguments[0]);
                        return null;
                    case "index" when arguments.Count == 1: return (long)list.FindIndex(i => JinjaValues.Equals(i, arguments[0]));
                    case "count" when arguments.Count == 1: return (long)list.Count(i => JinjaValues.Equals(i, arguments[0]));
                }
                break;
        }
        if (JinjaValues.Member(owner, name) is JinjaFunction function) return function(arguments, named);
        throw new ChatTemplateException($"the chat template calls '{name}' of {JinjaValues.Kind(owner)}, which is not supported");
    }

    private static object OfText(string text, string name, IReadOnlyList<object?> a) => name switch
    {
        "strip" => text.Trim(Characters(a)),
        "lstrip" => text.TrimStart(Characters(a)),
        "rstrip" => text.TrimEnd(Characters(a)),
        "lower" => text.ToLowerInvariant(),
        "upper" => text.ToUpperInvariant(),
        "title" => Title(text),
        "capitalize" => Capitalise(text),
        "startswith" => Any(a, part => text.StartsWith(part, StringComparison.Ordinal)),
        "endswith" => Any(a, part => text.EndsWith(part, StringComparison.Ordinal)),
        "find" => (long)text.IndexOf(Argument(a, 0, name), StringComparison.Ordinal),
        "rfind" => (long)text.LastIndexOf(Argument(a, 0, name), StringComparison.Ordinal),
        "count" => (long)(text.Split(Argument(a, 0, name)).Length - 1),
        "replace" => Replace(text, Argument(a, 0, name), Argument(a, 1, name)),
        "removeprefix" => text.StartsWith(Argument(a, 0, name), StringComparison.Ordinal) ? text[Argument(a, 0, name).Length..] : text,
        "removesuffix" => text.EndsWith(Argument(a, 0, name), StringComparison.Ordinal) ? text[..^Argument(a, 0, name).Length] : text,
        "split" => Split(text, a, fromEnd: false),
        "rsplit" => Split(text, a, fromEnd: true),
        "splitlines" => text.ReplaceLineEndings("\n").TrimEnd('\n').Split('\n').Cast<object?>().ToList(),
        "join" => string.Join(text, JinjaValues.Elements(a.Count > 0 ? a[0] : null).Select(JinjaValues.Text)),
        "isdigit" => text.Length > 0 && text.All(char.IsDigit),
        _ => throw new ChatTemplateException($"the chat template calls '{name}' of a text, which is not supported"),
    };

    /// <summary>Pairs of key and value.</summary>
    public static List<object?> Items(object? map) => map is Dictionary<string, object?> entries
        ? [.. entries.Select(p => (object?)new List<object?> { p.Key, p.Value })]
        : throw new ChatTemplateException($"the chat template wants the items of {JinjaValues.Kind(map)}");

    /// <summary>The first letter large, the others small.</summary>
    public static string Capitalise(string text) => text.Length == 0 ? "" : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();

    /// <summary>The first letter of each word large, the others small.</summary>
    public static string Title(string text) => string.Create(text.Length, text, (to, from) =>
    {
        for (int i = 0; i < to.Length; i++) to[i] = i > 0 && char.IsLetter(from[i - 1]) ? char.ToLowerInvariant(from[i]) : char.ToUpperInvariant(from[i]);
    });

    /// <summary>All <paramref name="old"/> by <paramref name="new"/>.</summary>
    public static string Replace(string text, string old, string @new) =>
        old.Length > 0 ? text.Replace(old, @new, StringComparison.Ordinal) : throw new ChatTemplateException("the chat template replaces an empty text");

    private static char[]? Characters(IReadOnlyList<object?> arguments) => arguments.Count > 0 && arguments[0] is not null ? JinjaValues.Text(arguments[0]).ToCharArray() : null;

    private static bool Any(IReadOnlyList<object?> arguments, Func<string, bool> test) => arguments.Count > 0 && arguments[0] is List<object?> parts
        ? parts.Exists(p => test(JinjaValues.Text(p)))
        : test(Argument(arguments, 0, "startswith"));

    private static string Argument(IReadOnlyList<object?> arguments, int index, string method) =>
        index < arguments.Count ? JinjaValues.Text(arguments[index]) : throw new ChatTemplateException($"the chat template calls '{method}' with too few arguments");

    private static List<object?> Split(string text, IReadOnlyList<object?> arguments, bool fromEnd)
    {
        if (arguments.Count == 0 || arguments[0] is null) return [.. text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)];
        string separator = JinjaValues.Text(arguments[0]);
        if (separator.Length == 0) throw new ChatTemplateException("the chat template splits at an empty text");
        long most = arguments.Count > 1 ? JinjaValues.Whole(arguments[1]) : -1;
        if (most < 0) return [.. text.Split(separator)];
        if (!fromEnd) return [.. text.Split(separator, (int)Math.Min(most + 1, int.MaxValue))];
        string[] parts = text.Split(separator);
        int joined = (int)Math.Max(1, parts.Length - most);
        return [string.Join(separator, parts.Take(joined)), .. parts.Skip(joined)];
    }
}
