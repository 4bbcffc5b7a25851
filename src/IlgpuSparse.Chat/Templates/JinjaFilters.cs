using System.Globalization;

namespace IlgpuSparse.Chat.Templates;

/// <summary>What can stand behind <c>|</c>.</summary>
internal static class JinjaFilters
{
    /// <summary>A filter, with arguments by place and by name.</summary>
    internal delegate object? Filter(object? value, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named);

    private static readonly Dictionary<string, Filter> s_filters = new()
    {
        ["trim"] = (v, a, _) => a.Count > 0 ? JinjaValues.Show(v).Trim(JinjaValues.Text(a[0]).ToCharArray()) : JinjaValues.Show(v).Trim(),
        ["lower"] = (v, _, _) => JinjaValues.Show(v).ToLowerInvariant(),
        ["upper"] = (v, _, _) => JinjaValues.Show(v).ToUpperInvariant(),
        ["capitalize"] = (v, _, _) => JinjaMethods.Capitalise(JinjaValues.Show(v)),
        ["title"] = (v, _, _) => JinjaMethods.Title(JinjaValues.Show(v)),
        ["length"] = (v, _, _) => Length(v),
        ["count"] = (v, _, _) => Length(v),
        ["string"] = (v, _, _) => JinjaValues.Show(v),
        ["safe"] = (v, _, _) => v,
        ["e"] = (v, _, _) => Escape(JinjaValues.Show(v)),
        ["escape"] = (v, _, _) => Escape(JinjaValues.Show(v)),
        ["int"] = (v, a, n) => Parse(v, a, n, 0L),
        ["float"] = (v, _, _) => v is string text ? double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double d) ? d : 0.0 : JinjaValues.Number(v),
        ["abs"] = (v, _, _) => v is long whole ? Math.Abs(whole) : (object)Math.Abs(JinjaValues.Number(v)),
        ["list"] = (v, _, _) => JinjaValues.Elements(v),
        ["first"] = (v, _, _) => JinjaValues.Elements(v) is { Count: > 0 } list ? list[0] : new JinjaUndefined("first"),
        ["last"] = (v, _, _) => JinjaValues.Elements(v) is { Count: > 0 } list ? list[^1] : new JinjaUndefined("last"),
        ["reverse"] = (v, _, _) => v is string text ? string.Concat(text.EnumerateRunes().Reverse()) : JinjaValues.Elements(v).AsEnumerable().Reverse().ToList(),
        ["unique"] = (v, _, _) => Unique(JinjaValues.Elements(v)),
        ["sort"] = (v, _, _) => JinjaValues.Elements(v).Order(Comparer<object?>.Create(JinjaValues.Compare)).ToList(),
        ["sum"] = (v, _, _) => JinjaValues.Elements(v).Aggregate((object)0L, (sum, item) => sum is long x && item is long y ? x + y : (object)(JinjaValues.Number(sum) + JinjaValues.Number(item))),
        ["join"] = (v, a, n) => string.Join(a.Count > 0 ? JinjaValues.Show(a[0]) : "", Mapped(JinjaValues.Elements(v), n).Select(JinjaValues.Show)),
        ["replace"] = (v, a, _) => a.Count == 2 ? JinjaMethods.Replace(JinjaValues.Show(v), JinjaValues.Text(a[0]), JinjaValues.Text(a[1])) : throw Wrong("replace", "two texts"),
        ["default"] = Default,
        ["d"] = Default,
        ["items"] = (v, _, _) => v is JinjaUndefined ? new List<object?>() : JinjaMethods.Items(v),
        ["dictsort"] = (v, _, _) => JinjaMethods.Items(v).OrderBy(p => (string?)((List<object?>)p!)[0], StringComparer.OrdinalIgnoreCase).ToList(),
        ["tojson"] = (v, a, n) => JinjaValues.Json(v, n.TryGetValue("indent", out object? indent) || (a.Count > 0 && (indent = a[0]) is not null) ? indent is null ? null : (int)Math.Clamp(JinjaValues.Whole(indent), 0, 16) : null),
        ["indent"] = Indent,
        ["map"] = Map,
        ["select"] = (v, a, _) => Select(v, a, attribute: false, keep: true),
        ["reject"] = (v, a, _) => Select(v, a, attribute: false, keep: false),
        ["selectattr"] = (v, a, _) => Select(v, a, attribute: true, keep: true),
        ["rejectattr"] = (v, a, _) => Select(v, a, attribute: true, keep: false),
    };

    /// <summary>The filter of this name, or null.</summary>
    public static Filter? Find(string name) => s_filters.GetValueOrDefault(name);

    private static ChatTemplateException Wrong(string name, string wanted) => new($"the filter '{name}' of the chat template wants {wanted}");

    private static long Length(object? value) => value switch
    {
        string text => text.EnumerateRunes().Count(),
        JinjaUndefined => 0L,
        _ => JinjaValues.Elements(value).Count,
    };

    private static long Parse(object? value, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named, long otherwise)
    {
        if (arguments.Count > 0) otherwise = JinjaValues.Whole(arguments[0]);
        else if (named.TryGetValue("default", out object? given)) otherwise = JinjaValues.Whole(given);
        return value switch
        {
            string text => long.TryParse(text.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long n) ? n : otherwise,
            double d when Math.Abs(d) < 1e18 => (long)d,
            long or bool => JinjaValues.Whole(value),
            _ => otherwise,
        };
    }

    private static string Escape(string text) =>
        text.Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal).Replace(">", "&gt;", StringComparison.Ordinal).Replace("'", "&#39;", StringComparison.Ordinal).Replace("\"", "&#34;", StringComparison.Ordinal);

    private static object? Default(object? value, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named)
    {
        object? otherwise = arguments.Count > 0 ? arguments[0] : named.GetValueOrDefault("default_value", "");
        bool falsy = arguments.Count > 1 ? JinjaValues.IsTrue(arguments[1]) : named.TryGetValue("boolean", out object? given) && JinjaValues.IsTrue(given);
        return value is JinjaUndefined || (falsy && !JinjaValues.IsTrue(value)) ? otherwise : value;
    }

    private static List<object?> Unique(List<object?> items)
    {
        var kept = new List<object?>();
        foreach (object? item in items)
            if (!kept.Exists(k => JinjaValues.Equals(k, item))) kept.Add(item);
        return kept;
    }

    private static string Indent(object? value, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named)
    {
        object? width = arguments.Count > 0 ? arguments[0] : named.GetValueOrDefault("width", 4L);
        string blanks = width as string ?? new string(' ', (int)Math.Clamp(JinjaValues.Whole(width), 0, 100));
        bool first = arguments.Count > 1 ? JinjaValues.IsTrue(arguments[1]) : JinjaValues.IsTrue(named.GetValueOrDefault("first", false));
        bool blank = arguments.Count > 2 ? JinjaValues.IsTrue(arguments[2]) : JinjaValues.IsTrue(named.GetValueOrDefault("blank", false));
        string[] lines = JinjaValues.Show(value).Split('\n');
        return string.Join('\n', lines.Select((line, i) => (i == 0 && !first) || (line.Length == 0 && !blank && i > 0) ? line : blanks + line));
    }

    private static IEnumerable<object?> Mapped(List<object?> items, IReadOnlyDictionary<string, object?> named) =>
        named.TryGetValue("attribute", out object? attribute) ? items.Select(i => JinjaValues.Member(i, attribute)) : items;

    private static List<object?> Map(object? value, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named)
    {
        var items = JinjaValues.Elements(value);
        if (named.ContainsKey("attribute")) return Mapped(items, named).ToList();
        if (arguments.Count == 0) throw Wrong("map", "a filter or attribute=");
        string name = JinjaValues.Text(arguments[0]);
        var filter = Find(name) ?? throw new ChatTemplateException($"the filter '{name}' is not supported in a chat template");
        return items.ConvertAll(i => filter(i, [.. arguments.Skip(1)], named));
    }

    private static List<object?> Select(object? value, IReadOnlyList<object?> arguments, bool attribute, bool keep)
    {
        int at = attribute ? 1 : 0;
        if (arguments.Count < at) throw Wrong("selectattr", "the name of a member");
        Func<object?, IReadOnlyList<object?>, bool> test = (v, _) => JinjaValues.IsTrue(v);
        if (arguments.Count > at)
        {
            string name = JinjaValues.Text(arguments[at]);
            test = JinjaTests.Find(name) ?? throw new ChatTemplateException($"the test '{name}' is not supported in a chat template");
        }
        object?[] rest = [.. arguments.Skip(at + 1)];
        return JinjaValues.Elements(value).FindAll(item => test(attribute ? JinjaValues.Member(item, arguments[0]) : item, rest) == keep);
    }
}
