namespace IlgpuSparse.Chat.Templates;

/// <summary>What a name or member stands for that does not exist: false, empty, writes nothing.</summary>
internal sealed class JinjaUndefined(string name)
{
    /// <summary>The name that was looked for.</summary>
    public string Name => name;
}
