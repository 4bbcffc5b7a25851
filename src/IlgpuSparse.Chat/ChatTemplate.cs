using System.Globalization;
using System.Text;
using IlgpuSparse.Chat.Templates;

namespace IlgpuSparse.Chat;

/// <summary>
/// How a conversation is written down for a model: the template that the model carries (<c>tokenizer.chat_template</c> of a GGUF file, <c>chat_template</c> of a Hugging Face directory), or one of the common families.
/// </summary>
public sealed class ChatTemplate
{
    private const int MostCharacters = 1 << 26;

    private static readonly Dictionary<string, (string Source, string[] Stops)> s_builtIn = new()
    {
        ["llama-2"] = ("""
            {%- set system = '' -%}
            {%- if messages and messages[0].role == 'system' -%}
                {%- set system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' -%}
                {%- set messages = messages[1:] -%}
            {%- endif -%}
            {%- for message in messages -%}
                {%- if message.role == 'user' -%}
                    {{- bos_token + '[INST] ' + (system if loop.first else '') + message.content.strip() + ' [/INST]' -}}
                {%- elif message.role == 'assistant' -%}
                    {{- ' ' + message.content.strip() + ' ' + eos_token -}}
                {%- else -%}
                    {{- raise_exception('a Llama 2 conversation has one system message, at its beginning, and roles user and assistant') -}}
                {%- endif -%}
            {%- endfor -%}
            """, []),
        ["llama-3"] = ("""
            {{- bos_token -}}
            {%- for message in messages -%}
                {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content.strip() + '<|eot_id|>' -}}
            {%- endfor -%}
            {%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}{%- endif -%}
            """, ["<|eot_id|>"]),
        ["chatml"] = ("""
            {%- for message in messages -%}
                {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}
            {%- endfor -%}
            {%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
            """, ["<|im_end|>"]),
        ["mistral"] = ("""
            {{- bos_token -}}
            {%- set system = '' -%}
            {%- if messages and messages[0].role == 'system' -%}
                {%- set system = messages[0].content + '\n\n' -%}
                {%- set messages = messages[1:] -%}
            {%- endif -%}
            {%- for message in messages -%}
                {%- if message.role == 'user' -%}
                    {{- '[INST] ' + (system if loop.first else '') + message.content + ' [/INST]' -}}
                {%- elif message.role == 'assistant' -%}
                    {{- ' ' + message.content + eos_token -}}
                {%- else -%}
                    {{- raise_exception('a Mistral conversation has one system message, at its beginning, and roles user and assistant') -}}
                {%- endif -%}
            {%- endfor -%}
            """, []),
        ["zephyr"] = ("""
            {%- for message in messages -%}
                {{- '<|' + message.role + '|>\n' + message.content + eos_token + '\n' -}}
            {%- endfor -%}
            {%- if add_generation_prompt -%}{{- '<|assistant|>\n' -}}{%- endif -%}
            """, ["<|user|>", "<|system|>"]),
        // for models that were trained on no conversations: their text goes on
        ["plain"] = ("""
            {%- for message in messages -%}
                {{- message.content -}}
                {%- if not loop.last -%}{{- '\n\n' -}}{%- endif -%}
            {%- endfor -%}
            """, []),
    };

    private readonly JinjaTemplate _template;

    private ChatTemplate(string name, string source, IReadOnlyList<string> stops)
    {
        Name = name;
        Source = source;
        StopTexts = stops;
        _template = new JinjaTemplate(source);
    }

    /// <summary>Names that <see cref="BuiltIn"/> knows.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. s_builtIn.Keys];

    /// <summary>One of <see cref="Names"/>, or <c>model</c> for one that a model carries.</summary>
    public string Name { get; }

    /// <summary>The template.</summary>
    public string Source { get; }

    /// <summary>Texts that end an answer where the model's own end tokens do not.</summary>
    public IReadOnlyList<string> StopTexts { get; }

    /// <summary>One of the common families by name; <c>plain</c> puts the messages behind one another, for models that know no conversations.</summary>
    /// <exception cref="ArgumentException">There is no such name.</exception>
    public static ChatTemplate BuiltIn(string name) => s_builtIn.TryGetValue(name, out var known)
        ? new ChatTemplate(name, known.Source, known.Stops)
        : throw new ArgumentException($"no chat template '{name}': there are {string.Join(", ", Names)}", nameof(name));

    /// <summary>Reads a template in Jinja.</summary>
    /// <exception cref="ChatTemplateException">Damaged, or beyond the part of Jinja that is supported.</exception>
    public static ChatTemplate Parse(string source)
    {
        ArgumentNullException.ThrowIfNull(source);
        return new ChatTemplate("model", source, []);
    }

    /// <summary>Writes a conversation down, up to where the assistant's answer begins.</summary>
    /// <param name="turns">The messages.</param>
    /// <param name="bosToken">How the beginning-of-sequence token is spelt.</param>
    /// <param name="eosToken">How the end-of-sequence token is spelt.</param>
    /// <param name="addGenerationPrompt">Whether an answer is wanted; else the conversation just ends.</param>
    /// <param name="now">What templates that tell the date take it from; null for the system's clock.</param>
    /// <exception cref="ChatTemplateException">The template refuses these messages.</exception>
    public string Render(IEnumerable<ChatTurn> turns, string bosToken = "", string eosToken = "", bool addGenerationPrompt = true, DateTime? now = null)
    {
        ArgumentNullException.ThrowIfNull(turns);
        return _template.Render(new Dictionary<string, object?>
        {
            ["messages"] = turns.Select(t => (object?)new Dictionary<string, object?> { ["role"] = t.Role, ["content"] = t.Content }).ToList(),
            ["bos_token"] = bosToken,
            ["eos_token"] = eosToken,
            ["add_generation_prompt"] = addGenerationPrompt,
            ["tools"] = null,
            ["documents"] = null,
            ["strftime_now"] = (JinjaFunction)((arguments, _) => Date(now ?? DateTime.Now, arguments.Count > 0 ? JinjaValues.Text(arguments[0]) : "%Y-%m-%d")),
        }, MostCharacters);
    }

    /// <summary>
    /// The tokens of a conversation. Control tokens are those that the template writes: the spelling of one in a message stays text, so that no message can end its turn or speak in another role.
    /// </summary>
    /// <exception cref="ChatTemplateException">The template refuses these messages.</exception>
    public int[] Encode(TextTokenizer tokenizer, IEnumerable<ChatTurn> turns, bool addGenerationPrompt = true)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentNullException.ThrowIfNull(turns);
        var guarded = turns.Select(t => new ChatTurn(tokenizer.Guarded(t.Role), tokenizer.Guarded(t.Content)));
        return tokenizer.EncodeRendered(Render(guarded, tokenizer.Spelling(tokenizer.BosId), tokenizer.Spelling(tokenizer.EosIds.Count > 0 ? tokenizer.EosIds[0] : null), addGenerationPrompt));
    }

    // strftime of the C library, what templates use of it
    private static string Date(DateTime now, string format)
    {
        var text = new StringBuilder();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length) text.Append(format[i]);
            else text.Append(format[++i] == '%' ? "%" : Field(now, format[i]));
        }
        return text.ToString();
    }

    private static string Field(DateTime now, char field) => now.ToString(field switch
    {
        'd' => "dd",
        'b' => "MMM",
        'B' => "MMMM",
        'm' => "MM",
        'Y' => "yyyy",
        'y' => "yy",
        'H' => "HH",
        'I' => "hh",
        'M' => "mm",
        'S' => "ss",
        'p' => "tt",
        'a' => "ddd",
        'A' => "dddd",
        _ => throw new ChatTemplateException($"the chat template writes the date with '%{field}', which is not supported"),
    }, CultureInfo.InvariantCulture);
}
