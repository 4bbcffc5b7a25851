using System.Globalization;

namespace IlgpuSparse.Chat.Templates;

/// <summary>Compiles the tokens of an expression, by the precedences of Jinja.</summary>
internal sealed class JinjaExpressionParser(IReadOnlyList<JinjaToken> tokens, int at = 0)
{
    // as deep as brackets may nest: the parser is recursive
    private const int MostDepth = 100;

    private int _at = at, _depth;

    /// <summary>The token that comes next.</summary>
    public JinjaToken Current => tokens[_at];

    /// <summary>Takes the next token.</summary>
    public JinjaToken Take() => tokens[_at].Kind == JinjaTokenKind.End ? tokens[_at] : tokens[_at++];

    /// <summary>Takes the next token if it is this symbol.</summary>
    public bool TakeSymbol(string symbol)
    {
        if (!Current.IsSymbol(symbol)) return false;
        _at++;
        return true;
    }

    /// <summary>Takes the next token if it is this name.</summary>
    public bool TakeName(string name)
    {
        if (!Current.IsName(name)) return false;
        _at++;
        return true;
    }

    /// <summary>Takes this symbol.</summary>
    public void Require(string symbol)
    {
        if (!TakeSymbol(symbol)) throw Bad($"expected '{symbol}' before {Current}");
    }

    /// <summary>Takes a name.</summary>
    public string RequireName() => Current.Kind == JinjaTokenKind.Name ? Take().Value : throw Bad($"expected a name before {Current}");

    /// <summary>Nothing may follow.</summary>
    public void RequireEnd()
    {
        if (Current.Kind != JinjaTokenKind.End) throw Bad($"{Current} is not expected here");
    }

    /// <summary>A message with the line.</summary>
    public ChatTemplateException Bad(string what) => new($"the chat template, line {Current.Line}: {what}");

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
        while (true)
        {
            Func<object?, object?, bool>? compare = null;
            if (Current.Kind == JinjaTokenKind.Symbol)
            {
                compare = Current.Value switch
                {
                    "==" => JinjaValues.Equals,
                    "!=" => (a, b) => !JinjaValues.Equals(a, b),
                    "<" => (a, b) => JinjaValues.Compare(a, b) < 0,
                    "<=" => (a, b) => JinjaValues.Compare(a, b) <= 0,
                    ">" => (a, b) => JinjaValues.Compare(a, b) > 0,
                    ">=" => (a, b) => JinjaValues.Compare(a, b) >= 0,
                    _ => null,
                };
                if (compare is not null) _at++;
            }
            else if (TakeName("in")) compare = Contains;
            else if (Current.IsName("not") && tokens[_at + 1].IsName("in"))
            {
                _at += 2;
                compare = (a, b) => !Contains(a, b);
            }
            if (compare is null) return chain ?? left;
            var (x, y, before) = (left, Sum(), chain);
            JinjaExpression link = scope => compare(x(scope), y(scope));
            chain = before is null ? link : scope => JinjaValues.IsTrue(before(scope)) ? link(scope) : false;
            left = y;
        }
    }

    /// <summary><c>item in whole</c>.</summary>
    public static bool Contains(object? item, object? whole) => whole switch
    {
        string text => text.Contains(JinjaValues.Text(item), StringComparison.Ordinal),
        Dictionary<string, object?> map => item is string key && map.ContainsKey(key),
        _ => JinjaValues.Elements(whole).Exists(e => JinjaValues.Equals(e, item)),
    };

    private JinjaExpression Sum()
    {
        var left = Concatenation();
        while (Current.IsSymbol("+") || Current.IsSymbol("-"))
        {
            bool plus = Take().Value == "+";
            var (a, b) = (left, Concatenation());
            left = plus ? scope => Add(a(scope), b(scope)) : scope => Calculate(a(scope), b(scope), (x, y) => x - y, (x, y) => x - y);
        }
        return left;
    }

    private static object? Add(object? a, object? b) => (a, b) switch
    {
        (string x, string y) => x + y,
        (List<object?> x, List<object?> y) => (List<object?>)[.. x, .. y],
        (string, _) or (_, string) => throw new ChatTemplateException($"the chat template adds {JinjaValues.Kind(a)} and {JinjaValues.Kind(b)}"),
        _ => Calculate(a, b, (x, y) => x + y, (x, y) => x + y),
    };

    private static object Calculate(object? a, object? b, Func<long, long, long> whole, Func<double, double, double> real) =>
        a is double || b is double ? real(JinjaValues.Number(a), JinjaValues.Number(b)) : (object)whole(JinjaValues.Whole(a), JinjaValues.Whole(b));

    private JinjaExpression Concatenation()
    {
        var left = Product();
        while (TakeSymbol("~"))
        {
            var (a, b) = (left, Product());
            left = scope => JinjaValues.Show(a(scope)) + JinjaValues.Show(b(scope));
        }
        return left;
    }

    private JinjaExpression Product()
    {
        var left = Unary();
        while (Current.Kind == JinjaTokenKind.Symbol && Current.Value is "*" or "/" or "//" or "%")
        {
            string symbol = Take().Value;
            var (a, b) = (left, Unary());
            left = symbol switch
            {
                "*" => scope => Multiply(a(scope), b(scope)),
                "/" => scope => JinjaValues.Number(a(scope)) / Divisor(b(scope)),
                "//" => scope => Calculate(a(scope), b(scope), (x, y) => (long)Math.Floor(x / Divisor(y)), (x, y) => Math.Floor(x / Divisor(y))),
                _ => scope => Calculate(a(scope), b(scope), (x, y) => x - y * (long)Math.Floor(x / Divisor(y)), (x, y) => x - y * Math.Floor(x / Divisor(y))),
            };
        }
        return left;
    }

    private static object Multiply(object? a, object? b)
    {
        if (a is not string text) return Calculate(a, b, (x, y) => x * y, (x, y) => x * y);
        long times = Math.Max(0, JinjaValues.Whole(b));
        return times * text.Length <= 1 << 20 ? string.Concat(Enumerable.Repeat(text, (int)times)) : throw new ChatTemplateException($"the chat template repeats a text {times} times");
    }

    private static double Divisor(object? value) => JinjaValues.Number(value) is not 0 and double number ? number : throw new ChatTemplateException("the chat template divides by 0");

    private JinjaExpression Unary()
    {
        bool negative = TakeSymbol("-");
        if (!negative && TakeSymbol("+")) return Unary();
        var value = Postfix(Primary());
        if (negative)
        {
            var positive = value;
            value = scope => Calculate(0L, positive(scope), (x, y) => x - y, (x, y) => x - y);
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
            if (Current.Kind == JinjaTokenKind.Name && tokens[_at + 1].IsSymbol("="))
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
