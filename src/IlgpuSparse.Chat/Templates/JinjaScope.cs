namespace IlgpuSparse.Chat.Templates;

/// <summary>Variables while a template is rendered. Loops and macros have scopes of their own: what they set is gone after them.</summary>
internal sealed class JinjaScope(JinjaScope? parent, JinjaRun run)
{
    private readonly Dictionary<string, object?> _values = [];

    /// <summary>What all scopes of a rendering share.</summary>
    public JinjaRun Run => run;

    /// <summary>The value of <paramref name="name"/>; <see cref="JinjaUndefined"/> when there is none.</summary>
    public object? this[string name]
    {
        get
        {
            for (var scope = this; scope is not null; scope = scope.Parent)
                if (scope._values.TryGetValue(name, out object? value)) return value;
            return new JinjaUndefined(name);
        }
        set => _values[name] = value;
    }

    private JinjaScope? Parent => parent;

    /// <summary>A scope inside this one.</summary>
    public JinjaScope Inner() => new(this, run);
}
