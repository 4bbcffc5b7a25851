using System.Globalization;

namespace IlgpuSparse.Chat.Templates;

/// <summary>Compiles the tokens of an expression, by the precedences of Jinja.</summary>
internal sealed class JinjaExpressionParser(IReadOnlyList<JinjaToken> tokens, int at = 0) : JinjaTokenReader(tokens, at)
{
    // as deep as brackets may nest: the parser is recursive
    private const int MostDepth = 100;

    private int _depth;

    /// <summary>An expression; a comma makes a list of several where <paramref name="tuple"/> says so.</summary>
    public JinjaExpression Parse(bool tuple = false)
    {
        var first = Conditional();
        if (!tuple || !Current.IsSymbol(",")) return first;
        var items = new List<JinjaExpression> { first };
        while (TakeSymbol(",") && !Current.IsSymbol(")") && Current.Kind != JinjaTokenKind.End) items.Add(Conditional());
        return ListOf(items);
    }

    /// <summary>As <see cref="Parse"/> without <c>a if b else c</c>: what a loop goes through, before its condition.</summary>
    public JinjaExpression ParseWithoutCondition() => Or();

    private JinjaExpression Conditional()
    {
        if (++_depth > MostDepth) throw Bad($"brackets nest more than {MostDepth} deep");
        var value = Or();
        while (TakeName("if"))
        {
            var then = value;
            var condition = Or();
            JinjaExpression otherwise = TakeName("else") ? Conditional() : _ => new JinjaUndefined("else");
            value = scope => JinjaValues.IsTrue(condition(scope)) ? then(scope) : otherwise(scope);
        }
        _depth--;
        return value;
    }

    private JinjaExpression Or()
    {
        var left = And();
        while (TakeName("or"))
        {
            var (a, b) = (left, And());
            left = scope => a(scope) is var value && JinjaValues.IsTrue(value) ? value : b(scope);
        }
        return left;
    }

    private JinjaExpression And()
    {
        var left = Not();
        while (TakeName("and"))
        {
            var (a, b) = (left, Not());
            left = scope => a(scope) is var value && JinjaValues.IsTrue(value) ? b(scope) : value;
        }
        return left;
    }

    private JinjaExpression Not()
    {
        if (!TakeName("not")) return Comparison();
        if (++_depth > MostDepth) throw Bad($"'not' stands more than {MostDepth} times in a row");
        var value = Not();
        _depth--;
        return scope => !JinjaValues.IsTrue(value(scope));
    }

    private JinjaExpression Comparison()
    {
        var left = Sum();
        JinjaExpression? chain = null;
        while (TakeComparison() is { } compare)
        {
            var (x, y, before) = (left, Sum(), chain);
            JinjaExpression link = scope => compare(x(scope), y(scope));
            chain = before is null ? link : scope => JinjaValues.IsTrue(before(scope)) ? link(scope) : false;
            left = y;
        }
        return chain ?? left;
    }

    private Func<object?, object?, object?>? TakeComparison()
    {
        if (TakeName("in")) return (a, b) => JinjaOperators.Contains(b, a);
        if (Current.IsName("not") && Following.IsName("in"))
        {
            Take();
            Take();
            return (a, b) => !JinjaOperators.Contains(b, a);
        }
        return Current.Kind == JinjaTokenKind.Symbol && JinjaOperators.IsComparison(Current.Value) ? JinjaOperators.Find(Take().Value) : null;
    }

    private JinjaExpression Sum() => Chain(Concatenation, "+", "-");

    private JinjaExpression Concatenation() => Chain(Product, "~");

    private JinjaExpression Product() => Chain(Unary, "*", "/", "//", "%");

    // Operators of one precedence, from the left.
    private JinjaExpression Chain(Func<JinjaExpression> operand, params string[] symbols)
    {
        var left = operand();
        while (Current.Kind == JinjaTokenKind.Symbol && symbols.Contains(Current.Value))
        {
            var operation = JinjaOperators.Find(Take().Value);
            var (a, b) = (left, operand());
            left = scope => operation(a(scope), b(scope));
        }
        return left;
    }

    private JinjaExpression Unary()
    {
        bool negative = TakeSymbol("-");
        if (!negative && TakeSymbol("+")) return Unary();
        var value = Postfix(Primary());
        if (negative)
        {
            var positive = value;
            var minus = JinjaOperators.Find("-");
            value = scope => minus(0L, positive(scope));
        }
        return FiltersAndTests(value);
    }

    private JinjaExpression FiltersAndTests(JinjaExpression value)
    {
        while (true)
        {
            if (TakeSymbol("|")) value = Filter(value);
            else if (TakeName("is")) value = Test(value);
            else return value;
        }
    }

    /// <summary>The filter whose name comes next, applied to <paramref name="value"/>.</summary>
    public JinjaExpression Filter(JinjaExpression value)
    {
        string name = RequireName();
        var filter = JinjaFilters.Find(name) ?? throw Bad($"the filter '{name}' is not supported");
        var (arguments, named) = Current.IsSymbol("(") ? Arguments() : ([], []);
        return scope => filter(value(scope), [.. arguments.Select(a => a(scope))], named.ToDictionary(n => n.Key, n => n.Value(scope)));
    }

    private JinjaExpression Test(JinjaExpression value)
    {
        bool negated = TakeName("not");
        string name = Current.Kind == JinjaTokenKind.Symbol ? Take().Value : RequireName();
        var test = JinjaTests.Find(name) ?? throw Bad($"the test '{name}' is not supported");
        List<JinjaExpression> arguments = [];
        if (Current.IsSymbol("(")) arguments = Arguments().Arguments;
        else if (Current.Kind is JinjaTokenKind.Text or JinjaTokenKind.Number || Current.IsSymbol("[")
            || (Current.Kind == JinjaTokenKind.Name && Current.Value is not ("and" or "or" or "not" or "if" or "else" or "is" or "in"))) arguments.Add(Postfix(Primary()));
        return scope => test(value(scope), [.. arguments.Select(a => a(scope))]) != negated;
    }

    private JinjaExpression Postfix(JinjaExpression value)
    {
        while (true)
        {
            var owner = value;
            if (TakeSymbol("."))
            {
                string name = Current.Kind == JinjaTokenKind.Number ? Take().Value : RequireName();
                object key = long.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out long index) ? index : name;
                if (key is string method && Current.IsSymbol("("))
                {
                    var (arguments, named) = Arguments();
                    value = scope => JinjaMethods.Call(owner(scope), method, [.. arguments.Select(a => a(scope))], named.ToDictionary(n => n.Key, n => n.Value(scope)));
                }
                else value = scope => JinjaValues.Member(owner(scope), key);
            }
            else if (TakeSymbol("[")) value = Subscript(owner);
            else if (Current.IsSymbol("("))
            {
                var (arguments, named) = Arguments();
                value = scope =>
                {
                    scope.Run.Step();
                    return owner(scope) is JinjaFunction function
                        ? function([.. arguments.Select(a => a(scope))], named.ToDictionary(n => n.Key, n => n.Value(scope)))
                        : throw new ChatTemplateException($"the chat template calls {JinjaValues.Kind(owner(scope))}");
                };
            }
            else return value;
        }
    }

    private JinjaExpression Subscript(JinjaExpression owner)
    {
        var parts = new JinjaExpression?[3];
        int count = 0;
        bool slice = false;
        while (!TakeSymbol("]"))
        {
            if (TakeSymbol(":"))
            {
                slice = true;
                if (++count > 2) throw Bad("a slice has three parts at most");
            }
            else if (parts[count] is null) parts[count] = Parse();
            else throw Bad($"expected ']' before {Current}");
        }
        if (slice) return scope => JinjaValues.Slice(owner(scope), parts[0]?.Invoke(scope), parts[1]?.Invoke(scope), parts[2]?.Invoke(scope));
        var key = parts[0] ?? throw Bad("'[]' names no element");
        return scope => JinjaValues.Member(owner(scope), key(scope));
    }

    /// <summary>Arguments in brackets.</summary>
    public (List<JinjaExpression> Arguments, List<KeyValuePair<string, JinjaExpression>> Named) Arguments()
    {
        Require("(");
        var arguments = new List<JinjaExpression>();
        var named = new List<KeyValuePair<string, JinjaExpression>>();
        while (!TakeSymbol(")"))
        {
            if (Current.Kind == JinjaTokenKind.Name && Following.IsSymbol("="))
            {
                string name = Take().Value;
                Take();
                if (named.Exists(n => n.Key == name)) throw Bad($"the argument '{name}' is given twice");
                named.Add(new(name, Parse()));
            }
            else arguments.Add(Parse());
            if (!Current.IsSymbol(")")) Require(",");
        }
        return (arguments, named);
    }

    private JinjaExpression Primary()
    {
        var token = Take();
        switch (token.Kind)
        {
            case JinjaTokenKind.Text:
                string text = token.Value;
                while (Current.Kind == JinjaTokenKind.Text) text += Take().Value;
                return _ => text;
            case JinjaTokenKind.Number when long.TryParse(token.Value, NumberStyles.None, CultureInfo.InvariantCulture, out long whole): return _ => whole;
            case JinjaTokenKind.Number when double.TryParse(token.Value, NumberStyles.Float, CultureInfo.InvariantCulture, out double real): return _ => real;
            case JinjaTokenKind.Name:
                return token.Value switch
                {
                    "true" or "True" => _ => true,
                    "false" or "False" => _ => false,
                    "none" or "None" => _ => null,
                    _ => scope => scope[token.Value],
                };
            case JinjaTokenKind.Symbol when token.Value == "(":
                if (TakeSymbol(")")) return ListOf([]);
                var inner = Parse(tuple: true);
                Require(")");
                return inner;
            case JinjaTokenKind.Symbol when token.Value == "[": return ListOf(Items("]", () => Parse()));
            case JinjaTokenKind.Symbol when token.Value == "{":
                var pairs = Items("}", () =>
                {
                    var key = Parse();
                    Require(":");
                    return (Key: key, Value: Parse());
                });
                return scope =>
                {
                    var map = new Dictionary<string, object?>();
                    foreach (var (key, value) in pairs) map[JinjaValues.Text(key(scope))] = value(scope);
                    return map;
                };
            default: throw Bad($"{token} is not expected here");
        }
    }

    private List<T> Items<T>(string close, Func<T> parse)
    {
        var items = new List<T>();
        while (!TakeSymbol(close))
        {
            items.Add(parse());
            if (!Current.IsSymbol(close)) Require(",");
        }
        return items;
    }

    private static JinjaExpression ListOf(List<JinjaExpression> items) => scope => items.ConvertAll(i => i(scope));
}
