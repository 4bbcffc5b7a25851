using System.CommandLine;
using System.Text;
using IlgpuSparse.Attention;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Generation;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse chat</c>: a conversation in the terminal.</summary>
internal sealed class ChatCommand
{
    private static readonly Option<string?> s_model = ModelOptions.Model();
    private static readonly Option<string?> s_system = new("--system", "-s") { Description = "What the model is told before the conversation.", HelpName = "text" };
    private static readonly Option<string?> s_template = ModelOptions.Template();
    private static readonly Option<int> s_maxTokens = NumberOption.Create("--max-tokens", "Most tokens of an answer.", 1, ModelOptions.MostTokens, 512, aliases: "-n");
    private static readonly Option<int> s_context = ModelOptions.Context("Tokens that the cache holds; 0 for what the model was made for, at most 8,192.");
    private static readonly Option<AttentionOptions> s_attention = ModelOptions.AttentionOrNone();
    private static readonly Option<string?> s_channels = ModelOptions.Channels();
    private static readonly Option<KvFormat?> s_kvType = ModelOptions.KvType(KvFormat.F16);
    private static readonly Option<float> s_temperature = SamplingOption.Temperature();
    private static readonly Option<int> s_topK = SamplingOption.TopK();
    private static readonly Option<float> s_topP = SamplingOption.TopP();
    private static readonly Option<float> s_minP = SamplingOption.MinP();
    private static readonly Option<float> s_penalty = SamplingOption.RepetitionPenalty();
    private static readonly Option<ulong> s_seed = SamplingOption.Seed();
    private static readonly Option<string> s_backend = ModelOptions.Backend();
    private static readonly Option<int> s_threads = ModelOptions.Threads();
    private static readonly Option<bool> s_json = ModelOptions.Json();

    private readonly ChatModel _model;
    private readonly ParseResult _arguments;
    private readonly List<ChatTurn> _turns = [];
    private readonly bool _json;
    private bool _fullAttention;

    private ChatCommand(ChatModel model, ParseResult arguments)
    {
        (_model, _arguments, _json) = (model, arguments, arguments.GetValue(s_json));
        Reset();
    }

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command("chat", """
            A conversation with the model. Ctrl-C ends an answer, and at the prompt the program; /help lists what else can be typed.
            Where standard input is no terminal, each line of it is a message; with --json each answer is a line of JSON.
            """)
        {
            s_model, s_system, s_template, s_maxTokens, s_context, s_attention, s_channels, s_kvType, s_temperature, s_topK, s_topP, s_minP, s_penalty, s_seed, s_backend, s_threads, s_json,
        };
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => Open(arguments, cancellation)));
        return command;
    }

    private static int Open(ParseResult arguments, CancellationToken cancellation)
    {
        using var model = ChatModel.Open(arguments.ModelPath(s_model), new ChatModelOptions
        {
            Backend = arguments.GetValue(s_backend)!,
            Threads = arguments.GetValue(s_threads),
            Context = arguments.GetValue(s_context),
            KvFormat = arguments.GetValue(s_kvType) ?? KvFormat.F16,
            Attention = arguments.GetValue(s_attention),
            ChannelMap = arguments.GetValue(s_channels),
            Template = arguments.GetValue(s_template),
        });
        return new ChatCommand(model, arguments).RunAsync(cancellation).GetAwaiter().GetResult();
    }

    private async Task<int> RunAsync(CancellationToken cancellation)
    {
        bool interactive = !Console.IsInputRedirected && !_json;
        if (!_json) AnsiConsole.WriteLine($"{_model.Name} on {_model.Backend.Name}, {_model.Attention}, template {_model.Template.Name}, {_model.Context:N0} tokens. /help for help, /exit to leave.");
        if (!_json && _model.AttentionNote is { } note) AnsiConsole.WriteLine(note);
        if (!_json && _model.Template.Name == "plain") AnsiConsole.MarkupLine("[yellow]The model carries no chat template: it goes on with the text rather than answer it.[/]");
        while (true)
        {
            if (interactive) Console.Out.Write("> ");
            string? line = await Console.In.ReadLineAsync(cancellation);
            if (line is null) return 0;
            line = line.Trim();
            if (line.Length == 0) continue;
            if (line.StartsWith('/'))
            {
                if (!Obey(line)) return 0;
                continue;
            }
            _turns.Add(new ChatTurn("user", line));
            using var answering = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            // at a terminal Ctrl-C ends the answer, not the program
            ConsoleCancelEventHandler stop = (_, e) =>
            {
                e.Cancel = true;
                answering.Cancel();
            };
            if (interactive) Console.CancelKeyPress += stop;
            try
            {
                await AnswerAsync(answering.Token);
            }
            finally
            {
                if (interactive) Console.CancelKeyPress -= stop;
            }
        }
    }

    private async Task AnswerAsync(CancellationToken cancellation)
    {
        int[] prompt = _model.Template.Encode(_model.Tokenizer, _turns);
        if (prompt.Length >= _model.Context) throw new ArgumentException($"the conversation has {prompt.Length:N0} tokens, the context {_model.Context:N0}: ask for a longer one (--context), or begin again (/clear)");
        var answer = _model.Generate(new TextRequest
        {
            Prompt = prompt,
            MaxTokens = _arguments.GetValue(s_maxTokens),
            FullAttention = _fullAttention,
            Sampling = new SamplingOptions
            {
                Temperature = _arguments.GetValue(s_temperature),
                TopK = _arguments.GetValue(s_topK),
                TopP = _arguments.GetValue(s_topP),
                MinP = _arguments.GetValue(s_minP),
                RepetitionPenalty = _arguments.GetValue(s_penalty),
                Seed = _arguments.GetValue(s_seed),
            },
        }, cancellation);
        var text = new StringBuilder();
        bool cancelled = false;
        try
        {
            await foreach (var piece in answer.WithCancellation(cancellation))
            {
                text.Append(piece.Text);
                if (!_json) Console.Out.Write(piece.Text);
            }
        }
        catch (OperationCanceledException)
        {
            cancelled = true;
        }
        _turns.Add(new ChatTurn("assistant", text.ToString()));
        var s = answer.Statistics;
        if (_json)
        {
            Console.Out.WriteLine(JsonOutput.Line(new
            {
                text = text.ToString(),
                cancelled,
                promptTokens = answer.PromptTokens,
                reusedTokens = s.ReusedTokens,
                newTokens = s.NewTokens,
                firstTokenSeconds = s.FirstTokenSeconds,
                decodeTokensPerSecond = s.DecodeTokensPerSecond,
                density = s.Density,
            }));
            return;
        }
        Console.Out.WriteLine();
        AnsiConsole.MarkupLineInterpolated($"[grey]{answer.PromptTokens:N0} tokens read, {s.ReusedTokens:N0} of them kept from before; {s.NewTokens} written at {s.DecodeTokensPerSecond:0} a second; density {s.Density:0.000}[/]");
    }

    // False to leave.
    private bool Obey(string line)
    {
        switch (line)
        {
            case "/exit" or "/quit" or "/bye": return false;
            case "/clear":
                Reset();
                AnsiConsole.WriteLine("a new conversation");
                break;
            case "/dense" or "/sparse":
                _fullAttention = line == "/dense";
                AnsiConsole.WriteLine(_fullAttention ? "answers with full attention" : $"answers with {_model.Attention}");
                break;
            default:
                AnsiConsole.WriteLine("/clear begins a new conversation, /dense and /sparse change how answers attend, /exit leaves");
                break;
        }
        return true;
    }

    private void Reset()
    {
        _turns.Clear();
        if (_arguments.GetValue(s_system) is { Length: > 0 } system) _turns.Add(new ChatTurn("system", system));
    }
}
