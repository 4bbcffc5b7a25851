using System.CommandLine;
using IlgpuSparse.Attention;
using IlgpuSparse.Chat;
using IlgpuSparse.Cli.Serving;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Generation;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse serve</c>: the model behind HTTP.</summary>
internal static class ServeCommand
{
    private const string KeyVariable = "ILGPUSPARSE_API_KEY";

    private static readonly Option<string?> s_model = ModelOptions.Model();
    private static readonly Option<string> s_host = new("--host") { Description = "Address to listen at. Anything but loopback lets others in: give a key, too.", DefaultValueFactory = _ => "127.0.0.1", HelpName = "address" };
    private static readonly Option<int> s_port = NumberOption.Create("--port", "Port to listen at; 0 for any that is free.", 0, 65535, 8080);
    private static readonly Option<string?> s_key = new("--api-key") { Description = $"What clients must send as bearer token. Better in the environment, where no list of processes shows it: {KeyVariable}.", HelpName = "key" };
    private static readonly Option<int> s_parallel = NumberOption.Create("--parallel", "Answers that are computed at once.", 1, 1024, 8);
    private static readonly Option<int> s_queue = NumberOption.Create("--queue", "Requests that may wait; more are told to come again (429).", 0, 1 << 20, 64);
    private static readonly Option<int> s_context = ModelOptions.Context("Tokens that the cache holds, over all answers at once; 0 for what the model was made for, at most 8,192.");
    private static readonly Option<int> s_maxTokens = NumberOption.Create("--max-tokens", "Most tokens of an answer where the request says nothing.", 1, ModelOptions.MostTokens, 512);
    private static readonly Option<int> s_maxBody = NumberOption.Create("--max-body", "Largest request, in KiB.", 1, 1 << 20, 4096, "KiB");
    private static readonly Option<int> s_timeout = NumberOption.Create("--timeout", "Longest time of an answer, waiting included, in seconds.", 1, 86400, 600, "s");
    private static readonly Option<int> s_grace = NumberOption.Create("--grace", "How long running answers may go on when the server is stopped, in seconds.", 0, 3600, 30, "s");
    private static readonly Option<string?> s_template = ModelOptions.Template();
    private static readonly Option<AttentionOptions> s_attention = ModelOptions.AttentionOrNone();
    private static readonly Option<string?> s_channels = ModelOptions.Channels();
    private static readonly Option<KvFormat?> s_kvType = ModelOptions.KvType(KvFormat.F16);
    private static readonly Option<ProductPrecision?> s_precision = ModelOptions.Precision(ProductPrecision.Single);
    private static readonly Option<string> s_backend = ModelOptions.Backend();
    private static readonly Option<int> s_threads = ModelOptions.Threads();

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command("serve", """
            Serves the model to clients of OpenAI (/v1) and Ollama (/api), and a page to chat and to watch which tokens are read (/).
            Several answers are computed at once; prompts that begin like an earlier one start from its cache.
            Also: /healthz, /readyz, /metrics (Prometheus); OpenTelemetry traces where OTEL_EXPORTER_OTLP_ENDPOINT is set.
            """)
        {
            s_model, s_host, s_port, s_key, s_parallel, s_queue, s_context, s_maxTokens, s_maxBody, s_timeout, s_grace, s_template, s_attention, s_channels, s_kvType, s_precision, s_backend, s_threads,
        };
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => RunAsync(arguments, cancellation).GetAwaiter().GetResult()));
        return command;
    }

    private static async Task<int> RunAsync(ParseResult arguments, CancellationToken cancellation)
    {
        string? key = arguments.GetValue(s_key) ?? Environment.GetEnvironmentVariable(KeyVariable);
        if (key is "") throw new ArgumentException("the API key is empty");
        using var model = ChatModel.Open(arguments.ModelPath(s_model), new ChatModelOptions
        {
            Backend = arguments.GetValue(s_backend)!,
            Threads = arguments.GetValue(s_threads),
            Precision = arguments.GetValue(s_precision) ?? ProductPrecision.Single,
            Context = arguments.GetValue(s_context),
            Parallel = arguments.GetValue(s_parallel),
            KvFormat = arguments.GetValue(s_kvType) ?? KvFormat.F16,
            Attention = arguments.GetValue(s_attention),
            ChannelMap = arguments.GetValue(s_channels),
            Template = arguments.GetValue(s_template),
            MaxTokens = arguments.GetValue(s_maxTokens),
            Engine = new EngineOptions { QueueLimit = arguments.GetValue(s_queue) },
        });
        await using var server = await ChatServer.StartAsync(model, new ServerOptions
        {
            Host = arguments.GetValue(s_host)!,
            Port = arguments.GetValue(s_port),
            ApiKey = key,
            MaxBodyBytes = arguments.GetValue(s_maxBody) * 1024L,
            Timeout = TimeSpan.FromSeconds(arguments.GetValue(s_timeout)),
            Grace = TimeSpan.FromSeconds(arguments.GetValue(s_grace)),
            Log = true,
        });
        AnsiConsole.WriteLine($"{model.Name} on {model.Backend.Name}, {model.Attention}, {arguments.GetValue(s_parallel)} answers at once, {model.Context:N0} tokens in {Bytes.Text(model.Memory.Total)}");
        if (model.AttentionNote is { } note) AnsiConsole.WriteLine(note);
        AnsiConsole.WriteLine($"listening at {server.Address} - the page is there, OpenAI's API at {server.Address}v1, Ollama's at {server.Address}api; Ctrl-C stops");
        try
        {
            await Task.Delay(Timeout.Infinite, cancellation);
        }
        catch (OperationCanceledException)
        {
            AnsiConsole.WriteLine("stopping: running answers are finished, new requests refused");
        }
        await server.StopAsync();
        return 0;
    }
}
