namespace IlgpuSparse.Chat.Templates;

/// <summary>What the operators of Jinja do with two values: whole numbers stay whole, texts and lists are put together by <c>+</c>.</summary>
internal static class JinjaOperators
{
    private const int LongestText = 1 << 20;

    private static readonly Dictionary<string, Func<object?, object?, object?>> s_operators = new()
    {
        ["=="] = (a, b) => JinjaValues.Equals(a, b),
        ["!="] = (a, b) => !JinjaValues.Equals(a, b),
        ["<"] = (a, b) => JinjaValues.Compare(a, b) < 0,
        ["<="] = (a, b) => JinjaValues.Compare(a, b) <= 0,
        [">"] = (a, b) => JinjaValues.Compare(a, b) > 0,
        [">="] = (a, b) => JinjaValues.Compare(a, b) >= 0,
        ["+"] = Add,
        ["-"] = (a, b) => Calculate(a, b, (x, y) => x - y, (x, y) => x - y),
        ["~"] = (a, b) => JinjaValues.Show(a) + JinjaValues.Show(b),
        ["*"] = Multiply,
        ["/"] = (a, b) => JinjaValues.Number(a) / Divisor(b),
        ["//"] = (a, b) => Calculate(a, b, (x, y) => (long)Math.Floor(x / Divisor(y)), (x, y) => Math.Floor(x / Divisor(y))),
        ["%"] = (a, b) => Calculate(a, b, (x, y) => x - y * (long)Math.Floor(x / Divisor(y)), (x, y) => x - y * Math.Floor(x / Divisor(y))),
    };

    /// <summary>The operator of a symbol.</summary>
    public static Func<object?, object?, object?> Find(string symbol) => s_operators[symbol];

    /// <summary>Whether a symbol compares.</summary>
    public static bool IsComparison(string symbol) => symbol is "==" or "!=" or "<" or "<=" or ">" or ">=";

    /// <summary><c>item in whole</c>.</summary>
    public static bool Contains(object? whole, object? item) => whole switch
    {
        string text => text.Contains(JinjaValues.Text(item), StringComparison.Ordinal),
        Dictionary<string, object?> map => item is string key && map.ContainsKey(key),
        _ => JinjaValues.Elements(whole).Exists(e => JinjaValues.Equals(e, item)),
    };

    private static object? Add(object? a, object? b) => (a, b) switch
    {
        (string x, string y) => x + y,
        (List<object?> x, List<object?> y) => (List<object?>)[.. x, .. y],
        (string, _) or (_, string) => throw new ChatTemplateException($"the chat template adds {JinjaValues.Kind(a)} and {JinjaValues.Kind(b)}"),
        _ => Calculate(a, b, (x, y) => x + y, (x, y) => x + y),
    };

    private static object Multiply(object? a, object? b)
    {
        if (a is not string text) return Calculate(a, b, (x, y) => x * y, (x, y) => x * y);
        long times = Math.Max(0, JinjaValues.Whole(b));
        return times * text.Length <= LongestText ? string.Concat(Enumerable.Repeat(text, (int)times)) : throw new ChatTemplateException($"the chat template repeats a text {times} times");
    }

    private static object Calculate(object? a, object? b, Func<long, long, long> whole, Func<double, double, double> real) =>
        a is double || b is double ? real(JinjaValues.Number(a), JinjaValues.Number(b)) : (object)whole(JinjaValues.Whole(a), JinjaValues.Whole(b));

    private static double Divisor(object? value) => JinjaValues.Number(value) is not 0 and double number ? number : throw new ChatTemplateException("the chat template divides by 0");
}
