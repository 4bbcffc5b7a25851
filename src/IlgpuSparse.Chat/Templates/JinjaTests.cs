namespace IlgpuSparse.Chat.Templates;

/// <summary>What can stand behind <c>is</c>.</summary>
internal static class JinjaTests
{
    private static readonly Dictionary<string, Func<object?, IReadOnlyList<object?>, bool>> s_tests = new()
    {
        ["defined"] = (value, _) => value is not JinjaUndefined,
        ["undefined"] = (value, _) => value is JinjaUndefined,
        ["none"] = (value, _) => value is null,
        ["string"] = (value, _) => value is string,
        ["mapping"] = (value, _) => value is Dictionary<string, object?>,
        ["iterable"] = (value, _) => value is string or List<object?> or Dictionary<string, object?>,
        ["sequence"] = (value, _) => value is string or List<object?> or Dictionary<string, object?>,
        ["number"] = (value, _) => value is long or double or bool,
        ["integer"] = (value, _) => value is long,
        ["float"] = (value, _) => value is double,
        ["boolean"] = (value, _) => value is bool,
        ["true"] = (value, _) => value is true,
        ["false"] = (value, _) => value is false,
        ["callable"] = (value, _) => value is JinjaFunction,
        ["odd"] = (value, _) => (JinjaValues.Whole(value) & 1) == 1,
        ["even"] = (value, _) => (JinjaValues.Whole(value) & 1) == 0,
        ["lower"] = (value, _) => value is string text && text.Any(char.IsLower) && !text.Any(char.IsUpper),
        ["upper"] = (value, _) => value is string text && text.Any(char.IsUpper) && !text.Any(char.IsLower),
        ["divisibleby"] = (value, arguments) => JinjaValues.Whole(First(arguments)) is not 0 and long by ? JinjaValues.Whole(value) % by == 0 : throw new ChatTemplateException("the chat template divides by 0"),
        ["equalto"] = (value, arguments) => JinjaValues.Equals(value, First(arguments)),
        ["eq"] = (value, arguments) => JinjaValues.Equals(value, First(arguments)),
        ["=="] = (value, arguments) => JinjaValues.Equals(value, First(arguments)),
        ["ne"] = (value, arguments) => !JinjaValues.Equals(value, First(arguments)),
        ["sameas"] = (value, arguments) => value?.GetType() == First(arguments)?.GetType() && JinjaValues.Equals(value, First(arguments)),
        ["in"] = (value, arguments) => JinjaOperators.Contains(First(arguments), value),
        ["startingwith"] = (value, arguments) => JinjaValues.Text(value).StartsWith(JinjaValues.Text(First(arguments)), StringComparison.Ordinal),
    };

    /// <summary>The test of this name, or null.</summary>
    public static Func<object?, IReadOnlyList<object?>, bool>? Find(string name) => s_tests.GetValueOrDefault(name);

    private static object? First(IReadOnlyList<object?> arguments) => arguments.Count > 0 ? arguments[0] : throw new ChatTemplateException("a test of the chat template lacks what to compare with");
}
