using System.CommandLine;
using System.Text;
using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse generate</c>: continues a text and says what that took.</summary>
internal sealed class GenerateCommand
{
    private static readonly Option<string> s_model = ModelOptions.Model();
    private static readonly Option<string?> s_prompt = new("--prompt", "-p") { Description = "The text to continue.", HelpName = "text" };
    private static readonly Option<string?> s_promptFile = new("--prompt-file", "-f") { Description = "A file with the text to continue; - for standard input.", HelpName = "path" };
    private static readonly Option<int> s_tokens = new("--tokens", "-n") { Description = "Most tokens to generate.", DefaultValueFactory = _ => 200, HelpName = "n" };
    private static readonly Option<int> s_context = new("--context") { Description = "Tokens that the cache holds; 0 for just what the prompt and the new tokens need.", HelpName = "n" };
    private static readonly Option<AttentionOptions> s_attention = ModelOptions.Attention();
    private static readonly Option<string?> s_channels = new("--channels") { Description = "Channel map. Default: the file beside the model whose name ends in .channels.json.", HelpName = "path" };
    private static readonly Option<KvFormat> s_kvType = ModelOptions.KvType(KvFormat.F16);
    private static readonly Option<float> s_temperature = new("--temperature", "-t") { Description = "0 takes the most likely token; 1 samples the model's own distribution.", HelpName = "x" };
    private static readonly Option<int> s_topK = new("--top-k") { Description = "Draw among the k most likely tokens; 0 for all.", HelpName = "k" };
    private static readonly Option<float> s_topP = new("--top-p") { Description = "Draw among the most likely tokens with this probability together.", DefaultValueFactory = _ => 1, HelpName = "p" };
    private static readonly Option<float> s_minP = new("--min-p") { Description = "Drop tokens less likely than this share of the most likely one.", HelpName = "p" };
    private static readonly Option<float> s_penalty = new("--repetition-penalty") { Description = "Divides the logits of tokens already seen; 1 for none.", DefaultValueFactory = _ => 1, HelpName = "x" };
    private static readonly Option<ulong> s_seed = new("--seed") { Description = "Seed of the draws: the same seed gives the same text.", HelpName = "n" };
    private static readonly Option<int> s_chunk = new("--prefill-chunk") { Description = "Prompt tokens computed at a time; bounds scratch memory. 0 for what suits the backend.", HelpName = "n" };
    private static readonly Option<ProductPrecision> s_precision = ModelOptions.Precision(ProductPrecision.Single);
    private static readonly Option<string> s_backend = ModelOptions.Backend();
    private static readonly Option<int> s_threads = ModelOptions.Threads();
    private static readonly Option<bool> s_json = ModelOptions.Json();

    private readonly ParseResult _arguments;
    private readonly bool _json;

    private GenerateCommand(ParseResult arguments)
    {
        _arguments = arguments;
        _json = arguments.GetValue(s_json);
    }

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command("generate", """
            Continues a text: the prompt is prefilled densely, every new token attends through --attention.
            Without a prompt, the first 7,000 tokens of a novel are continued. Ctrl-C ends with the statistics so far.
            """)
        {
            s_model, s_prompt, s_promptFile, s_tokens, s_attention, s_channels, s_context, s_kvType, s_temperature, s_topK, s_topP, s_minP, s_penalty, s_seed, s_chunk, s_precision, s_backend, s_threads, s_json,
        };
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => new GenerateCommand(arguments).Run(cancellation)));
        return command;
    }

    private int Run(CancellationToken cancellation)
    {
        string path = _arguments.GetValue(s_model)!;
        int newTokens = _arguments.GetValue(s_tokens);
        if (newTokens < 1) throw new ArgumentException($"--tokens {newTokens}: at least 1");
        string text = ReadPrompt(out string origin);
        using var model = ModelFile.Open(path);
        var tokenizer = TextTokenizer.Create(model.Tokenizer ?? throw new ModelFormatException(path, "carries no tokenizer, so text cannot be continued"));
        int[] prompt = tokenizer.Encode(text);
        if (prompt.Length == 0) throw new ArgumentException("the prompt is empty");

        var attention = _arguments.GetValue(s_attention)!;
        int context = _arguments.GetValue(s_context);
        if (context == 0) context = prompt.Length + newTokens;
        if (context < prompt.Length + 1) throw new ArgumentException($"--context {context}: the prompt alone has {prompt.Length:N0} tokens");
        var options = new DecoderOptions
        {
            Capacity = context,
            KvFormat = _arguments.GetValue(s_kvType),
            Attention = attention,
            Channels = attention.Kind == AttentionKind.DoubleSparsity ? LoadChannels(model) : null,
            PrefillChunk = _arguments.GetValue(s_chunk),
        };
        using var backend = ComputeBackends.Create(_arguments.GetValue(s_backend)!, _arguments.GetValue(s_threads), precision: _arguments.GetValue(s_precision));
        var plan = MemoryPlan.For(model, options, backend);
        if (!_json) PrintHead(model, backend, options, plan, prompt.Length, origin);
        if (context > model.Config.MaxContext && !_json)
            AnsiConsole.MarkupLine($"[yellow]The model was made for {model.Config.MaxContext:N0} tokens; {context:N0} may read as nonsense.[/]");

        using var weights = LlamaWeights.Load(backend, model);
        using var decoder = new LlamaDecoder(backend, weights, options);
        using var generator = new Generator(decoder);
        var generation = new GenerationOptions
        {
            MaxTokens = newTokens,
            StopIds = [.. tokenizer.EosIds],
            Sampling = new SamplingOptions
            {
                Temperature = _arguments.GetValue(s_temperature),
                TopK = _arguments.GetValue(s_topK),
                TopP = _arguments.GetValue(s_topP),
                MinP = _arguments.GetValue(s_minP),
                RepetitionPenalty = _arguments.GetValue(s_penalty),
                Seed = _arguments.GetValue(s_seed),
            },
        };
        var (continuation, cancelled) = Stream(generator, tokenizer, prompt, generation, text, cancellation);
        Report(model, backend, options, plan, generator.Statistics, continuation, cancelled);
        return cancelled ? 130 : 0;
    }

    private (string Text, bool Cancelled) Stream(Generator generator, TextTokenizer tokenizer, int[] prompt, GenerationOptions options, string text, CancellationToken cancellation)
    {
        var continuation = new StringBuilder();
        // the continuation joins the prompt's last token, so its leading space counts
        var decoder = tokenizer.CreateDecoder(continuation: true);
        void Emit(string delta)
        {
            continuation.Append(delta);
            if (!_json) Console.Out.Write(delta);
        }

        bool cancelled = false;
        try
        {
            using var tokens = Prefill(generator, prompt, options, text, cancellation);
            while (tokens.MoveNext()) Emit(decoder.Append(tokens.Current));
        }
        catch (OperationCanceledException)
        {
            cancelled = true;
        }
        Emit(decoder.Flush());
        if (!_json) Console.Out.WriteLine();
        return (continuation.ToString(), cancelled);
    }

    // Runs until the first token is drawn, under a progress bar.
    private IEnumerator<int> Prefill(Generator generator, int[] prompt, GenerationOptions options, string text, CancellationToken cancellation)
    {
        if (_json) return generator.Generate(prompt, options, null, cancellation).GetEnumerator();
        IEnumerator<int>? tokens = null;
        bool some = false;
        AnsiConsole.Progress().AutoClear(true).Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn()).Start(progress =>
        {
            var task = progress.AddTask("prefill", maxValue: prompt.Length);
            tokens = generator.Generate(prompt, options, done => task.Value = done, cancellation).GetEnumerator();
            some = tokens.MoveNext();
        });
        string tail = text.Length > 300 ? "… " + text[^300..] : text;
        AnsiConsole.Markup("[grey]{0}[/]", Markup.Escape(tail));
        return Resume(tokens!, some);
    }

    private static IEnumerator<int> Resume(IEnumerator<int> tokens, bool some)
    {
        using (tokens)
            for (; some; some = tokens.MoveNext()) yield return tokens.Current;
    }

    private string ReadPrompt(out string origin)
    {
        string? prompt = _arguments.GetValue(s_prompt), file = _arguments.GetValue(s_promptFile);
        if (prompt is not null && file is not null) throw new ArgumentException("--prompt and --prompt-file exclude each other");
        origin = "the prompt given";
        if (prompt is not null) return prompt;
        if (file is not null && file != "-")
        {
            origin = file;
            return File.ReadAllText(file);
        }
        if (file == "-" || Console.IsInputRedirected)
        {
            string input = Console.In.ReadToEnd();
            origin = "standard input";
            if (input.Length > 0 || file == "-") return input;
        }
        origin = "a novel that travels with the tool";
        return File.ReadAllText(EmbeddedModel.PromptPath);
    }

    private ChannelMap LoadChannels(ModelFile model)
    {
        string path = _arguments.GetValue(s_channels) ?? EmbeddedModel.ChannelMapFor(model.Path)
            ?? throw new ArgumentException($"no channel map for this model: make one with 'ilgpusparse calibrate --model {model.Path}' (it is written to {EmbeddedModel.DefaultChannelMapPath(model.Path)}), or use --attention dense");
        return ChannelMapReader.Read(path, model);
    }

    private static void PrintHead(ModelFile model, ComputeBackend backend, DecoderOptions options, MemoryPlan plan, int promptTokens, string origin)
    {
        var c = model.Config;
        var grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        void Row(string name, string value) => grid.AddRow(new Markup($"[grey]{name}[/]"), new Text(value));
        Row("model", $"{Path.GetFileName(model.Path.TrimEnd('/'))}: {c.ModelType}, {c.Layers} layers, {c.Heads} heads, {c.KvHeads} kv heads × {c.HeadDim}, vocabulary {c.VocabularySize:N0}");
        Row("device", $"{backend.Name}: {backend.Description}");
        Row("attention", options.Attention.ToString());
        Row("prompt", $"{promptTokens:N0} tokens from {origin}");
        Row("memory", $"weights {Bytes.Text(plan.Weights)}, K and V {Bytes.Text(plan.KeysAndValues)} ({options.KvFormat.ToString().ToLowerInvariant()}), labels {Bytes.Text(plan.Labels)}, scratch {Bytes.Text(plan.Scratch)}; {Bytes.Text(plan.Total)} in all");
        AnsiConsole.Write(grid);
        AnsiConsole.WriteLine();
    }

    private void Report(ModelFile model, ComputeBackend backend, DecoderOptions options, MemoryPlan plan, GenerationStatistics s, string continuation, bool cancelled)
    {
        if (_json)
        {
            JsonOutput.Write(new
            {
                model = model.Path,
                backend = backend.Name,
                attention = options.Attention.ToString(),
                text = continuation,
                cancelled,
                promptTokens = s.PromptTokens,
                newTokens = s.NewTokens,
                prefillSeconds = s.PrefillSeconds,
                prefillTokensPerSecond = s.PrefillTokensPerSecond,
                decodeSeconds = s.DecodeSeconds,
                decodeTokensPerSecond = s.DecodeTokensPerSecond,
                weightBytes = plan.Weights,
                kvBytes = plan.KeysAndValues,
                labelBytes = plan.Labels,
                density = s.Density,
                weightBytesPerToken = s.WeightBytesPerToken,
                cacheBytesPerToken = s.CacheBytesPerToken,
                denseCacheBytesPerToken = s.DecodeSteps > 0 ? s.DenseBytesRead / s.DecodeSteps : 0,
                peakBytes = backend.Memory.PeakBytes,
            });
            return;
        }
        var table = new Table().Border(TableBorder.Rounded).AddColumns("", "tokens", "seconds", "tokens/s");
        table.AddRow("prefill", $"{s.PromptTokens:N0}", $"{s.PrefillSeconds:0.00}", $"{s.PrefillTokensPerSecond:N0}");
        table.AddRow("decode", $"{s.DecodeSteps:N0}", $"{s.DecodeSeconds:0.00}", $"{s.DecodeTokensPerSecond:N0}");
        AnsiConsole.WriteLine();
        AnsiConsole.Write(table);
        if (s.DecodeSteps == 0) return;
        long dense = s.DenseBytesRead / s.DecodeSteps;
        AnsiConsole.MarkupLine($"read a token: weights [bold]{Bytes.Text(s.WeightBytesPerToken)}[/], cache [bold]{Bytes.Text(s.CacheBytesPerToken)}[/] of {Bytes.Text(dense)} (density [bold]{s.Density:P1}[/], labels counted)");
    }
}
