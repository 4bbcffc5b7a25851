using System.Text;

namespace IlgpuSparse.Chat.Templates;

/// <summary>One rendering: the output, and what it has used up. Templates come with model files: one that does not end must not stop a server.</summary>
internal sealed class JinjaRun(int mostCharacters)
{
    private const int MostSteps = 5_000_000, MostDepth = 64;

    private int _steps, _depth;

    /// <summary>What was written so far.</summary>
    public StringBuilder Output { get; private set; } = new();

    /// <summary>Counts a step.</summary>
    /// <exception cref="ChatTemplateException">Too many.</exception>
    public void Step()
    {
        if (++_steps > MostSteps) throw new ChatTemplateException($"the chat template takes more than {MostSteps:N0} steps");
    }

    /// <summary>Writes.</summary>
    /// <exception cref="ChatTemplateException">Too much.</exception>
    public void Write(string text)
    {
        if (Output.Length + (long)text.Length > mostCharacters) throw new ChatTemplateException($"the chat template writes more than {mostCharacters:N0} characters");
        Output.Append(text);
    }

    /// <summary>What <paramref name="body"/> writes, beside the output.</summary>
    public string Capture(Action body)
    {
        if (++_depth > MostDepth) throw new ChatTemplateException($"macros of the chat template call one another more than {MostDepth} deep");
        var outer = Output;
        Output = new StringBuilder();
        try
        {
            body();
            return Output.ToString();
        }
        finally
        {
            Output = outer;
            _depth--;
        }
    }
}
