namespace IlgpuSparse.Chat.Templates;

/// <summary>What <c>namespace()</c> makes: its members can be set from inside of loops.</summary>
internal sealed class JinjaNamespace(Dictionary<string, object?> values)
{
    /// <summary>Its members.</summary>
    public Dictionary<string, object?> Values => values;
}
