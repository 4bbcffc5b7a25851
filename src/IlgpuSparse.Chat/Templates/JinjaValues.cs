using System.Globalization;
using System.Text;

namespace IlgpuSparse.Chat.Templates;

/// <summary>The values of templates (null, <see cref="bool"/>, <see cref="long"/>, <see cref="double"/>, <see cref="string"/>, lists, mappings) and what Python makes of them.</summary>
internal static class JinjaValues
{
    /// <summary>Whether it counts as true.</summary>
    public static bool IsTrue(object? value) => value switch
    {
        null or JinjaUndefined => false,
        bool b => b,
        long n => n != 0,
        double d => d != 0,
        string s => s.Length > 0,
        List<object?> list => list.Count > 0,
        Dictionary<string, object?> map => map.Count > 0,
        _ => true,
    };

    /// <summary>Equality; true is 1, as in Python.</summary>
    public new static bool Equals(object? a, object? b) => (a, b) switch
    {
        (null, null) => true,
        (JinjaUndefined, JinjaUndefined) => true,
        (bool or long or double, bool or long or double) => Number(a) == Number(b),
        (string x, string y) => x == y,
        (List<object?> x, List<object?> y) => x.Count == y.Count && x.Zip(y).All(p => Equals(p.First, p.Second)),
        (Dictionary<string, object?> x, Dictionary<string, object?> y) => ReferenceEquals(x, y) || (x.Count == y.Count && x.All(p => y.TryGetValue(p.Key, out object? other) && Equals(p.Value, other))),
        _ => ReferenceEquals(a, b),
    };

    /// <summary>Order of two numbers or two texts.</summary>
    public static int Compare(object? a, object? b) => (a, b) switch
    {
        (bool or long or double, bool or long or double) => Number(a).CompareTo(Number(b)),
        (string x, string y) => string.CompareOrdinal(x, y),
        _ => throw new ChatTemplateException($"the chat template compares {Kind(a)} with {Kind(b)}"),
    };

    /// <summary>A number as such.</summary>
    public static double Number(object? value) => value switch
    {
        bool b => b ? 1 : 0,
        long n => n,
        double d => d,
        _ => throw new ChatTemplateException($"the chat template calculates with {Kind(value)}"),
    };

    /// <summary>A whole number.</summary>
    public static long Whole(object? value) => value switch
    {
        bool b => b ? 1 : 0,
        long n => n,
        _ => throw new ChatTemplateException($"the chat template wants a whole number and has {Kind(value)}"),
    };

    /// <summary>A text.</summary>
    public static string Text(object? value) => value as string ?? throw new ChatTemplateException($"the chat template wants a text and has {Kind(value)}");

    /// <summary>The elements of a list, the keys of a mapping, the characters of a text.</summary>
    public static List<object?> Elements(object? value) => value switch
    {
        List<object?> list => list,
        Dictionary<string, object?> map => [.. map.Keys],
        string text => [.. text.EnumerateRunes().Select(r => r.ToString())],
        JinjaUndefined => [],
        _ => throw new ChatTemplateException($"the chat template goes through {Kind(value)} as if it were a list"),
    };

    /// <summary>What is written of a value; also Python's <c>str()</c>.</summary>
    public static string Show(object? value) => value switch
    {
        string text => text,
        JinjaUndefined => "",
        _ => Repr(value),
    };

    /// <summary>Python's <c>repr()</c>.</summary>
    public static string Repr(object? value) => value switch
    {
        null or JinjaUndefined => "None",
        bool b => b ? "True" : "False",
        long n => n.ToString(CultureInfo.InvariantCulture),
        double d => Double(d),
        string s => s.Contains('\'') && !s.Contains('"') ? $"\"{Escape(s)}\"" : $"'{Escape(s).Replace("'", "\\'", StringComparison.Ordinal)}'",
        List<object?> list => $"[{string.Join(", ", list.Select(Repr))}]",
        Dictionary<string, object?> map => $"{{{string.Join(", ", map.Select(p => $"{Repr(p.Key)}: {Repr(p.Value)}"))}}}",
        _ => throw new ChatTemplateException($"the chat template writes {Kind(value)}"),
    };

    private static string Escape(string s) => s.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal).Replace("\t", "\\t", StringComparison.Ordinal).Replace("\r", "\\r", StringComparison.Ordinal);

    private static string Double(double d) => d == Math.Floor(d) && Math.Abs(d) < 1e16 ? d.ToString("0.0", CultureInfo.InvariantCulture) : d.ToString("R", CultureInfo.InvariantCulture).ToLowerInvariant();

    /// <summary>JSON as Python's <c>json.dumps(ensure_ascii=False)</c> spaces it.</summary>
    public static string Json(object? value, int? indent)
    {
        var text = new StringBuilder();
        Json(value, indent, 0, text);
        return text.ToString();
    }

    private static void Json(object? value, int? indent, int depth, StringBuilder to)
    {
        if (depth > 64) throw new ChatTemplateException("the chat template writes JSON that is more than 64 deep");
        switch (value)
        {
            case null: to.Append("null"); break;
            case bool b: to.Append(b ? "true" : "false"); break;
            case long n: to.Append(n); break;
            case double d: to.Append(Double(d)); break;
            case string s: Quote(s, to); break;
            case List<object?> list: Items('[', ']', list, v => Json(v, indent, depth + 1, to)); break;
            case Dictionary<string, object?> map:
                Items('{', '}', map, p =>
                {
                    Quote(p.Key, to);
                    to.Append(": ");
                    Json(p.Value, indent, depth + 1, to);
                });
                break;
            default: throw new ChatTemplateException($"the chat template writes {Kind(value)} as JSON");
        }

        void Items<T>(char open, char close, IReadOnlyCollection<T> items, Action<T> write)
        {
            to.Append(open);
            bool first = true;
            foreach (var item in items)
            {
                if (!first) to.Append(indent is null ? ", " : ",");
                if (indent is int width) to.Append('\n').Append(' ', width * (depth + 1));
                first = false;
                write(item);
            }
            if (indent is int outer && items.Count > 0) to.Append('\n').Append(' ', outer * depth);
            to.Append(close);
        }
    }

    private static void Quote(string text, StringBuilder to)
    {
        to.Append('"');
        foreach (char c in text)
        {
            switch (c)
            {
                case '"' or '\\': to.Append('\\').Append(c); break;
                case '\n': to.Append("\\n"); break;
                case '\r': to.Append("\\r"); break;
                case '\t': to.Append("\\t"); break;
                case '\b': to.Append("\\b"); break;
                case '\f': to.Append("\\f"); break;
                case < ' ': to.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture)); break;
                default: to.Append(c); break;
            }
        }
        to.Append('"');
    }

    /// <summary><paramref name="value"/>.name or <paramref name="value"/>[key]; undefined where there is none.</summary>
    public static object? Member(object? value, object? key)
    {
        switch (value, key)
        {
            case (Dictionary<string, object?> map, string name): return map.TryGetValue(name, out object? found) ? found : new JinjaUndefined(name);
            case (JinjaNamespace space, string name): return space.Values.TryGetValue(name, out object? member) ? member : new JinjaUndefined(name);
            case (List<object?> list, long or bool):
                long index = Whole(key);
                if (index < 0) index += list.Count;
                return index >= 0 && index < list.Count ? list[(int)index] : new JinjaUndefined($"[{key}]");
            case (string text, long or bool):
                long at = Whole(key);
                if (at < 0) at += text.Length;
                return at >= 0 && at < text.Length ? text[(int)at].ToString() : new JinjaUndefined($"[{key}]");
            case (JinjaUndefined undefined, _): throw new ChatTemplateException($"the chat template asks for '{key}' of '{undefined.Name}', which is not there");
            case (null, _): throw new ChatTemplateException($"the chat template asks for '{key}' of none");
            default: return new JinjaUndefined(Show(key));
        }
    }

    /// <summary>value[start:stop:step].</summary>
    public static object Slice(object? value, object? start, object? stop, object? step)
    {
        long stride = step is null ? 1 : Whole(step);
        if (stride == 0) throw new ChatTemplateException("the chat template slices in steps of 0");
        int count = value switch { string s => s.Length, List<object?> l => l.Count, _ => throw new ChatTemplateException($"the chat template slices {Kind(value)}") };
        long from = Place(start, stride > 0 ? 0 : count - 1), to = Place(stop, stride > 0 ? count : -1);
        var places = new List<int>();
        for (long i = from; stride > 0 ? i < to : i > to; i += stride)
            if (i >= 0 && i < count) places.Add((int)i);
        return value is string text ? string.Concat(places.Select(i => text[i])) : places.ConvertAll(i => ((List<object?>)value!)[i]);

        long Place(object? given, long otherwise)
        {
            if (given is null) return otherwise;
            long place = Whole(given);
            if (place < 0) place += count;
            return stride > 0 ? Math.Clamp(place, 0, count) : Math.Clamp(place, -1, count - 1);
        }
    }

    /// <summary>What a value is, in words.</summary>
    public static string Kind(object? value) => value switch
    {
        null => "none",
        JinjaUndefined undefined => $"'{undefined.Name}', which is not there",
        bool => "a truth value",
        long or double => "a number",
        string => "a text",
        List<object?> => "a list",
        Dictionary<string, object?> => "a mapping",
        JinjaFunction => "a function",
        _ => "a namespace",
    };
}
