using System.CommandLine;
using System.Text;
using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse generate</c>: continues a text and says what that took.</summary>
internal sealed class GenerateCommand
{
    private const KvFormat StandardKvFormat = KvFormat.F16;

    private static readonly Option<string?> s_model = ModelOptions.Model();
    private static readonly Option<string?> s_prompt = new("--prompt", "-p") { Description = "The text to continue.", HelpName = "text" };
    private static readonly Option<string?> s_promptFile = new("--prompt-file", "-f") { Description = "A file with the text to continue; - for standard input.", HelpName = "path" };
    private static readonly Option<int> s_tokens = NumberOption.Create("--tokens", "Most tokens to generate.", 1, ModelOptions.MostTokens, 200, aliases: "-n");
    private static readonly Option<int> s_context = ModelOptions.Context("Tokens that the cache holds; 0 for just what the prompt and the new tokens need.");
    private static readonly Option<AttentionOptions?> s_attention = AutoAttention.Option();
    private static readonly Option<string?> s_channels = ModelOptions.Channels();
    private static readonly Option<KvFormat?> s_kvType = ModelOptions.KvType(StandardKvFormat);
    private static readonly Option<KvPlacement?> s_kv = ModelOptions.Kv();
    private static readonly Option<string> s_kvHot = ModelOptions.KvHot();
    private static readonly Option<KvPrediction?> s_kvPredict = ModelOptions.KvPredict();
    private static readonly Option<float> s_kvLate = ModelOptions.KvLate(), s_kvRecall = ModelOptions.KvRecall();
    private static readonly Option<string?> s_saveState = new("--save-state") { Description = "Write the tokens with their K, V and labels to this file at the end, for --load-state.", HelpName = "path" };
    private static readonly Option<string?> s_loadState = new("--load-state") { Description = "Go on from where --save-state left off, with the same model, --kv-type and --attention; a prompt given is appended.", HelpName = "path" };
    private static readonly Option<float> s_temperature = SamplingOption.Temperature();
    private static readonly Option<int> s_topK = SamplingOption.TopK();
    private static readonly Option<float> s_topP = SamplingOption.TopP();
    private static readonly Option<float> s_minP = SamplingOption.MinP();
    private static readonly Option<float> s_penalty = SamplingOption.RepetitionPenalty();
    private static readonly Option<ulong> s_seed = SamplingOption.Seed();
    private static readonly Option<int> s_chunk = NumberOption.Create("--prefill-chunk", "Prompt tokens computed at a time; bounds scratch memory. 0 for what suits the backend.", 0, 1 << 16, 0);
    private static readonly Option<ProductPrecision?> s_precision = ModelOptions.Precision(ProductPrecision.Single);
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
            s_model, s_prompt, s_promptFile, s_tokens, s_attention, s_channels, s_context, s_kvType, s_kv, s_kvHot, s_kvPredict, s_kvLate, s_kvRecall, s_saveState, s_loadState, s_temperature, s_topK, s_topP, s_minP, s_penalty, s_seed, s_chunk, s_precision, s_backend, s_threads, s_json,
        };
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => new GenerateCommand(arguments).Run(cancellation)));
        return command;
    }

    private int Run(CancellationToken cancellation)
    {
        string path = _arguments.ModelPath(s_model);
        int newTokens = _arguments.GetValue(s_tokens);
        var sampling = new SamplingOptions
        {
            Temperature = _arguments.GetValue(s_temperature),
            TopK = _arguments.GetValue(s_topK),
            TopP = _arguments.GetValue(s_topP),
            MinP = _arguments.GetValue(s_minP),
            RepetitionPenalty = _arguments.GetValue(s_penalty),
            Seed = _arguments.GetValue(s_seed),
        };
        sampling.Validate();
        string? loaded = _arguments.GetValue(s_loadState);
        if (loaded is not null && !File.Exists(loaded)) throw new FileNotFoundException($"--load-state {loaded}: there is no such file");
        // a state goes on by itself: only a prompt that was asked for is appended to it
        string text = "", origin = "the state's own continuation";
        if (loaded is null || _arguments.GetValue(s_prompt) is not null || _arguments.GetValue(s_promptFile) is not null) text = ReadPrompt(out origin);
        using var model = ModelFile.Open(path);
        var tokenizer = ModelOptions.Tokenizer(model, path, "text cannot be continued");
        int[] prompt = tokenizer.Encode(text);
        if (prompt.Length == 0 && loaded is null) throw new ArgumentException("the prompt is empty");

        long context = _arguments.GetValue(s_context);
        if (context == 0 && loaded is not null) throw new ArgumentException("--load-state needs a --context that the state's tokens and the new ones fit");
        if (context == 0) context = (long)prompt.Length + newTokens;
        if (context < prompt.Length + 1) throw new ArgumentException($"--context {context}: the prompt alone has {prompt.Length:N0} tokens");
        if (context > ModelOptions.MostTokens) throw new ArgumentException($"the prompt's {prompt.Length:N0} and {newTokens:N0} new tokens are more than {ModelOptions.MostTokens:N0}");
        string? channelsPath = _arguments.GetValue(s_channels);
        string? save = _arguments.GetValue(s_saveState);
        using var backend = ComputeBackends.Create(_arguments.GetValue(s_backend)!, _arguments.GetValue(s_threads), precision: _arguments.GetValue(s_precision) ?? ProductPrecision.Single);
        var (attention, map, reason) = _arguments.GetValue(s_attention) is { } asked
            ? Asked(model, channelsPath, asked) : AutoAttention.Choose(model, channelsPath, context, backend is CpuBackend && save is null && loaded is null && _arguments.GetValue(s_kv) != KvPlacement.Host);
        if (attention.Online && (save ?? loaded) is { } state)
            throw new ArgumentException($"{state}: a state file does not hold the channel map of a text (map=online): make a map with 'ilgpusparse calibrate --model {model.Path}', or use --attention dense");
        var options = new DecoderOptions
        {
            Capacity = (int)context,
            KvFormat = _arguments.GetValue(s_kvType) ?? StandardKvFormat,
            Attention = attention,
            Channels = map,
            PrefillChunk = _arguments.GetValue(s_chunk),
            KvPrediction = _arguments.GetValue(s_kv) == KvPlacement.Host ? _arguments.GetValue(s_kvPredict) ?? KvPrediction.Off : KvPrediction.Off,
            KvLateLeast = _arguments.GetValue(s_kvLate),
            KvLeastRecall = _arguments.GetValue(s_kvRecall),
        };
        options = ModelOptions.Place(options, _arguments.GetValue(s_kv) ?? KvPlacement.Device, _arguments.GetValue(s_kvHot)!, model.Config);
        var plan = MemoryPlan.For(model, options, backend);
        plan.CheckFits(backend, context);
        var report = new GenerationReport(model, backend, options, plan, reason);
        if (!_json) report.WriteHead(prompt.Length, origin);
        if (context > model.Config.MaxContext && !_json)
            AnsiConsole.MarkupLine($"[yellow]The model was made for {model.Config.MaxContext:N0} tokens; {context:N0} may read as nonsense.[/]");

        using var weights = LlamaWeights.Load(backend, model);
        using var decoder = new LlamaDecoder(backend, weights, options);
        using var generator = new Generator(decoder);
        var generation = new GenerationOptions
        {
            MaxTokens = newTokens,
            StopIds = [.. tokenizer.EosIds],
            Sampling = sampling,
        };
        if (loaded is not null)
        {
            prompt = [.. generator.LoadState(loaded, model.Fingerprint), .. prompt];
            if (prompt.Length == 0) throw new ArgumentException($"{loaded}: holds no token that is not in the cache yet; give a --prompt");
        }
        var (continuation, cancelled) = Stream(generator, tokenizer, prompt, generation, text, cancellation);
        if (save is not null) generator.SaveState(save, model.Fingerprint);
        if (_json) report.WriteJson(generator.Statistics, continuation, cancelled);
        else report.WriteTable(generator.Statistics, cancelled);
        return cancelled ? CommandGuard.Cancelled : 0;
    }

    private static (AttentionOptions Attention, ChannelMap? Map, string? Reason) Asked(ModelFile model, string? channelsPath, AttentionOptions asked)
    {
        var (attentions, map, _, reason) = ModelOptions.Calibrated(model, channelsPath, [asked]);
        return (attentions[0], map, reason);
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

    // Runs until the first token is drawn, under a progress bar where somebody looks on.
    private IEnumerator<int> Prefill(Generator generator, int[] prompt, GenerationOptions options, string text, CancellationToken cancellation)
    {
        if (_json) return generator.Generate(prompt, options, null, cancellation).GetEnumerator();
        IEnumerator<int>? tokens = null;
        bool some = false;
        void Start(Action<int>? progress)
        {
            tokens = generator.Generate(prompt, options, progress, cancellation).GetEnumerator();
            some = tokens.MoveNext();
        }
        if (!AnsiConsole.Profile.Capabilities.Interactive) Start(null);
        else AnsiConsole.Progress().AutoClear(true).Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn()).Start(progress =>
        {
            var task = progress.AddTask("prefill", maxValue: prompt.Length);
            Start(done => task.Value = done);
        });
        WriteGrey(Tail(text));
        return Resume(tokens!, some);
    }

    // The end of the prompt, from a word's beginning on.
    private static string Tail(string text)
    {
        const int Most = 300;
        if (text.Length <= Most) return text;
        int start = text.AsSpan(text.Length - Most).IndexOfAny(' ', '\n');
        return "… " + text[(text.Length - Most + Math.Max(0, start))..].TrimStart();
    }

    // As it is: the library would break its lines, and the continuation's too short.
    private static void WriteGrey(string text) =>
        Console.Out.Write(AnsiConsole.Profile.Capabilities.Ansi ? $"\e[90m{text}\e[0m" : text);

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
            if (Directory.Exists(file)) throw new ArgumentException($"--prompt-file {file}: is a directory");
            origin = file;
            return NotEmpty(File.ReadAllText(file));
        }
        if (file == "-" || Console.IsInputRedirected)
        {
            string input = Console.In.ReadToEnd();
            origin = "standard input";
            if (input.Length > 0 || file == "-") return NotEmpty(input);
        }
        origin = "a novel that travels with the tool";
        return File.ReadAllText(EmbeddedModel.PromptPath);
    }

    private static string NotEmpty(string text) => text.Length > 0 ? text : throw new ArgumentException("the prompt is empty");
}
