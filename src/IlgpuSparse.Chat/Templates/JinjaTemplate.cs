namespace IlgpuSparse.Chat.Templates;

/// <summary>
/// A chat template in the part of Jinja that real ones use: text, expressions with filters and tests, <c>if</c>, <c>for</c>, <c>set</c>, <c>macro</c>, <c>break</c>, <c>continue</c>, <c>raw</c>, <c>generation</c>. What is
/// beyond that is refused by name when the template is read.
/// </summary>
internal sealed class JinjaTemplate
{
    private const int MostDepth = 100;

    private readonly IReadOnlyList<JinjaSegment> _segments;
    private readonly JinjaStatement _body;
    private int _at, _depth;

    /// <summary>Compiles <paramref name="source"/>.</summary>
    /// <exception cref="ChatTemplateException">Not closed, no Jinja, or beyond what is supported; the message has the line.</exception>
    public JinjaTemplate(string source)
    {
        _segments = JinjaLexer.Read(source);
        _body = Block();
        if (_at < _segments.Count) throw Bad(_segments[_at], $"'{_segments[_at].Tokens[0].Value}' belongs to nothing");
    }

    /// <summary>Renders it with <paramref name="variables"/>.</summary>
    /// <exception cref="ChatTemplateException">The template refuses them, or does what cannot be done.</exception>
    public string Render(IReadOnlyDictionary<string, object?> variables, int mostCharacters)
    {
        var run = new JinjaRun(mostCharacters);
        var scope = new JinjaScope(null, run);
        scope["raise_exception"] = (JinjaFunction)((a, _) => throw new ChatTemplateException(a.Count > 0 ? JinjaValues.Show(a[0]) : "the chat template refuses these messages", isRefusal: true));
        scope["namespace"] = (JinjaFunction)((_, named) => new JinjaNamespace(new Dictionary<string, object?>(named)));
        scope["dict"] = (JinjaFunction)((_, named) => new Dictionary<string, object?>(named));
        scope["range"] = (JinjaFunction)((a, _) => Range(a, run));
        foreach (var (name, value) in variables) scope[name] = value;
        _body(scope);
        return run.Output.ToString();
    }

    private static List<object?> Range(IReadOnlyList<object?> arguments, JinjaRun run)
    {
        if (arguments.Count is 0 or > 3) throw new ChatTemplateException("'range' in the chat template takes one to three numbers");
        long start = arguments.Count > 1 ? JinjaValues.Whole(arguments[0]) : 0, stop = JinjaValues.Whole(arguments[arguments.Count > 1 ? 1 : 0]), step = arguments.Count > 2 ? JinjaValues.Whole(arguments[2]) : 1;
        if (step == 0) throw new ChatTemplateException("'range' in the chat template has a step of 0");
        var numbers = new List<object?>();
        for (long i = start; step > 0 ? i < stop : i > stop; i += step)
        {
            run.Step();
            numbers.Add(i);
        }
        return numbers;
    }

    private static ChatTemplateException Bad(JinjaSegment segment, string what) => new($"the chat template, line {segment.Line}: {what}");

    // Statements up to one of the names that end a block, which is not taken.
    private JinjaStatement Block(params ReadOnlySpan<string> ends)
    {
        if (++_depth > MostDepth) throw new ChatTemplateException($"statements of the chat template nest more than {MostDepth} deep");
        var statements = new List<JinjaStatement>();
        while (_at < _segments.Count)
        {
            var segment = _segments[_at];
            if (segment.Kind == '%' && segment.Tokens[0].Kind == JinjaTokenKind.Name && ends.Contains(segment.Tokens[0].Value)) break;
            if (segment.Kind == '%' && segment.Tokens[0].Value.StartsWith("end", StringComparison.Ordinal) | segment.Tokens[0].Value is "else" or "elif") break;
            _at++;
            statements.Add(segment.Kind switch
            {
                ' ' => Write(segment.Text!),
                '{' => Expression(segment),
                _ => Statement(segment),
            });
        }
        _depth--;
        JinjaStatement[] all = [.. statements];
        return scope =>
        {
            foreach (var statement in all)
            {
                scope.Run.Step();
                if (statement(scope) is not JinjaFlow.Next and var flow) return flow;
            }
            return JinjaFlow.Next;
        };
    }

    private static JinjaStatement Write(string text) => scope =>
    {
        scope.Run.Write(text);
        return JinjaFlow.Next;
    };

    private static JinjaStatement Expression(JinjaSegment segment)
    {
        var parser = new JinjaExpressionParser(segment.Tokens);
        var value = parser.Parse(tuple: true);
        parser.RequireEnd();
        return scope =>
        {
            scope.Run.Write(JinjaValues.Show(value(scope)));
            return JinjaFlow.Next;
        };
    }

    private JinjaStatement Statement(JinjaSegment segment)
    {
        var parser = new JinjaExpressionParser(segment.Tokens);
        string name = parser.RequireName();
        var statement = name switch
        {
            "if" => If(parser, segment),
            "for" => For(parser, segment),
            "set" => Set(parser, segment),
            "macro" => Macro(parser, segment),
            "generation" => Inside(segment, "endgeneration"),
            "break" => _ => JinjaFlow.Break,
            "continue" => _ => JinjaFlow.Continue,
            "do" => Do(parser.Parse()),
            _ => throw Bad(segment, $"the statement '{name}' is not supported"),
        };
        parser.RequireEnd();
        return statement;
    }

    private static JinjaStatement Do(JinjaExpression expression) => scope =>
    {
        expression(scope);
        return JinjaFlow.Next;
    };

    private JinjaStatement Inside(JinjaSegment opening, string end)
    {
        var body = Block(end);
        Close(opening, end);
        return body;
    }

    private void Close(JinjaSegment opening, string end)
    {
        if (_at >= _segments.Count) throw Bad(opening, $"'{opening.Tokens[0].Value}' has no '{end}'");
        if (!_segments[_at].Tokens[0].IsName(end)) throw Bad(_segments[_at], $"expected '{end}' of line {opening.Line} before '{_segments[_at].Tokens[0].Value}'");
        _at++;
    }

    private JinjaStatement If(JinjaExpressionParser parser, JinjaSegment opening)
    {
        var branches = new List<(JinjaExpression Condition, JinjaStatement Body)> { (parser.Parse(), Block("elif", "else", "endif")) };
        while (_at < _segments.Count && _segments[_at].Tokens[0].IsName("elif"))
        {
            var condition = new JinjaExpressionParser(_segments[_at++].Tokens, 1);
            branches.Add((condition.Parse(), Block("elif", "else", "endif")));
            condition.RequireEnd();
        }
        JinjaStatement? otherwise = null;
        if (_at < _segments.Count && _segments[_at].Tokens[0].IsName("else"))
        {
            _at++;
            otherwise = Block("endif");
        }
        Close(opening, "endif");
        return scope =>
        {
            foreach (var (condition, body) in branches)
                if (JinjaValues.IsTrue(condition(scope))) return body(scope);
            return otherwise?.Invoke(scope) ?? JinjaFlow.Next;
        };
    }

    private JinjaStatement For(JinjaExpressionParser parser, JinjaSegment opening)
    {
        var names = new List<string> { parser.RequireName() };
        while (parser.TakeSymbol(",")) names.Add(parser.RequireName());
        if (!parser.TakeName("in")) throw parser.Bad($"expected 'in' before {parser.Current}");
        var source = parser.ParseWithoutCondition();
        var condition = parser.TakeName("if") ? parser.Parse() : null;
        if (parser.Current.IsName("recursive")) throw parser.Bad("loops that are 'recursive' are not supported");
        var body = Block("else", "endfor");
        JinjaStatement? otherwise = null;
        if (_at < _segments.Count && _segments[_at].Tokens[0].IsName("else"))
        {
            _at++;
            otherwise = Block("endfor");
        }
        Close(opening, "endfor");
        return scope =>
        {
            var items = JinjaValues.Elements(source(scope));
            if (condition is not null)
            {
                items = items.FindAll(item =>
                {
                    var trial = scope.Inner();
                    Assign(trial, names, item);
                    return JinjaValues.IsTrue(condition(trial));
                });
            }
            if (items.Count == 0) return otherwise?.Invoke(scope) ?? JinjaFlow.Next;
            for (int i = 0; i < items.Count; i++)
            {
                scope.Run.Step();
                var inner = scope.Inner();
                Assign(inner, names, items[i]);
                inner["loop"] = Loop(items, i);
                if (body(inner) == JinjaFlow.Break) break;
            }
            return JinjaFlow.Next;
        };
    }

    private static Dictionary<string, object?> Loop(List<object?> items, int i) => new()
    {
        ["index"] = (long)i + 1,
        ["index0"] = (long)i,
        ["revindex"] = (long)items.Count - i,
        ["revindex0"] = (long)items.Count - i - 1,
        ["first"] = i == 0,
        ["last"] = i == items.Count - 1,
        ["length"] = (long)items.Count,
        ["previtem"] = i > 0 ? items[i - 1] : new JinjaUndefined("previtem"),
        ["nextitem"] = i < items.Count - 1 ? items[i + 1] : new JinjaUndefined("nextitem"),
    };

    private static void Assign(JinjaScope scope, List<string> names, object? value)
    {
        if (names.Count == 1)
        {
            scope[names[0]] = value;
            return;
        }
        if (value is not List<object?> parts || parts.Count != names.Count) throw new ChatTemplateException($"the chat template wants {names.Count} values and has {JinjaValues.Kind(value)}");
        for (int i = 0; i < names.Count; i++) scope[names[i]] = parts[i];
    }

    private JinjaStatement Set(JinjaExpressionParser parser, JinjaSegment opening)
    {
        var names = new List<string> { parser.RequireName() };
        string? member = parser.TakeSymbol(".") ? parser.RequireName() : null;
        while (member is null && parser.TakeSymbol(",")) names.Add(parser.RequireName());
        JinjaExpression value;
        if (parser.TakeSymbol("=")) value = parser.Parse(tuple: true);
        else
        {
            if (parser.Current.Kind != JinjaTokenKind.End) throw parser.Bad("'set' of a block with filters is not supported");
            var body = Inside(opening, "endset");
            value = scope => scope.Run.Capture(() => body(scope.Inner()));
        }
        return scope =>
        {
            object? result = value(scope);
            if (member is null) Assign(scope, names, result);
            else if (scope[names[0]] is JinjaNamespace space) space.Values[member] = result;
            else throw new ChatTemplateException($"the chat template sets '{member}' of '{names[0]}', which is no namespace");
            return JinjaFlow.Next;
        };
    }

    private JinjaStatement Macro(JinjaExpressionParser parser, JinjaSegment opening)
    {
        string name = parser.RequireName();
        var parameters = new List<(string Name, JinjaExpression? Default)>();
        parser.Require("(");
        while (!parser.TakeSymbol(")"))
        {
            string parameter = parser.RequireName();
            parameters.Add((parameter, parser.TakeSymbol("=") ? parser.Parse() : null));
            if (!parser.Current.IsSymbol(")")) parser.Require(",");
        }
        var body = Inside(opening, "endmacro");
        return scope =>
        {
            scope[name] = (JinjaFunction)((arguments, named) =>
            {
                if (arguments.Count > parameters.Count) throw new ChatTemplateException($"the chat template calls its macro '{name}' with {arguments.Count} arguments instead of {parameters.Count}");
                var inner = scope.Inner();
                for (int i = 0; i < parameters.Count; i++)
                {
                    var (parameter, otherwise) = parameters[i];
                    inner[parameter] = i < arguments.Count ? arguments[i] : named.TryGetValue(parameter, out object? given) ? given : otherwise is not null ? otherwise(scope) : new JinjaUndefined(parameter);
                }
                return scope.Run.Capture(() => body(inner));
            });
            return JinjaFlow.Next;
        };
    }
}
