using System.Net;
using IlgpuSparse.Chat;
using IlgpuSparse.Generation;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.HostFiltering;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace IlgpuSparse.Cli.Serving;

/// <summary>A model behind HTTP: the endpoints of OpenAI and Ollama, a page to look at it, health, metrics. It serves the one model that it was given and touches no file on a request's behalf.</summary>
internal sealed partial class ChatServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ServerOptions _options;

    private ChatServer(WebApplication app, ChatModel model, ServerOptions options) => (_app, Model, _options) = (app, model, options);

    /// <summary>The model.</summary>
    public ChatModel Model { get; }

    /// <summary>Where it listens.</summary>
    public Uri Address => new(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());

    /// <summary>Starts to listen.</summary>
    /// <param name="model">Disposed by whoever opened it, after the server.</param>
    /// <param name="options">Limits and address.</param>
    /// <exception cref="IOException">The address is taken.</exception>
    /// <exception cref="ArgumentException">The address is none of this machine.</exception>
    public static async Task<ChatServer> StartAsync(ChatModel model, ServerOptions options)
    {
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        builder.Logging.ClearProviders();
        if (options.Log)
        {
            builder.Logging.AddSimpleConsole(o => o.SingleLine = true).AddFilter(level => level >= LogLevel.Warning);
            builder.Services.Configure<ConsoleLoggerOptions>(o => o.LogToStandardErrorThreshold = LogLevel.Trace);
        }
        var addresses = await ResolveAsync(options.Host);
        bool local = addresses.All(IPAddress.IsLoopback);
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = options.MaxBodyBytes;
            kestrel.Limits.RequestHeadersTimeout = options.HeaderTime;
            kestrel.Limits.MaxConcurrentConnections = 4096;
            foreach (var address in addresses) kestrel.Listen(address, options.Port);
        });
        builder.Services.AddRouting();
        // a page of another site must not reach a local server by a name of its own
        builder.Services.Configure<HostFilteringOptions>(o => o.AllowedHosts = local ? ["localhost", "127.0.0.1", "[::1]"] : ["*"]);
        var telemetry = builder.Services.AddOpenTelemetry();
        telemetry.WithMetrics(m => m.AddMeter(EngineTelemetry.Name, "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel").AddPrometheusExporter());
        bool exports = Environment.GetEnvironmentVariable("OTEL_EXPORTER_OTLP_ENDPOINT") is not null;
        // what the environment says of the service (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) comes last and counts
        telemetry.ConfigureResource(r => r.Clear().AddService("ilgpusparse", serviceVersion: typeof(ChatServer).Assembly.GetName().Version!.ToString(3)).AddTelemetrySdk().AddEnvironmentVariableDetector());
        if (exports) telemetry.WithTracing(t => t.AddSource(EngineTelemetry.Name).AddAspNetCoreInstrumentation().AddOtlpExporter());
        var app = builder.Build();
        app.UseHostFiltering();
        app.Use(next => context => Guarded(context, next, options));
        app.UseStatusCodePages(c => ErrorAnswer.WriteAsync(c.HttpContext, new RequestException(c.HttpContext.Response.StatusCode, c.HttpContext.Response.StatusCode switch
        {
            StatusCodes.Status404NotFound => $"there is nothing at {c.HttpContext.Request.Path}",
            StatusCodes.Status405MethodNotAllowed => $"{c.HttpContext.Request.Method} is not possible here",
            int status => $"the request was refused ({status})",
        })));
        app.UseRouting();
        app.MapGet("/healthz", () => "ok");
        app.MapGet("/readyz", (HttpContext context) => model.Engine.Status is { Stopping: false } ? Results.Text("ready") : Results.Text("stopping", statusCode: StatusCodes.Status503ServiceUnavailable));
        OpenAiEndpoints.Map(app, model);
        OllamaEndpoints.Map(app, model);
        LiveEndpoints.Map(app, model);
        app.MapPrometheusScrapingEndpoint("/metrics");
        try
        {
            await app.StartAsync();
        }
        catch
        {
            await app.DisposeAsync();
            throw;
        }
        return new ChatServer(app, model, options);
    }

    private static async Task<IPAddress[]> ResolveAsync(string host)
    {
        if (host is "*" or "+") return [IPAddress.Any];
        try
        {
            var found = IPAddress.TryParse(host, out var address) ? [address] : await Dns.GetHostAddressesAsync(host);
            if (found.Length > 0) return [found[0]];
        }
        catch (System.Net.Sockets.SocketException)
        {
        }
        throw new ArgumentException($"--host {host}: no such address");
    }

    // The key, the time limit, and one answer for whatever goes wrong.
    private static async Task Guarded(HttpContext context, RequestDelegate next, ServerOptions options)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        var aborted = context.RequestAborted;
        try
        {
            bool open = context.Request.Path.Value is "/" or "/healthz" or "/readyz" || context.Request.Path.StartsWithSegments("/page");
            if (!open && options.ApiKey is { } key && !new ApiKeyGuard(key).Admits(context.Request))
                throw new RequestException(StatusCodes.Status401Unauthorized, "this server wants its API key: 'Authorization: Bearer KEY'", code: "invalid_api_key");
            limit.CancelAfter(options.Timeout);
            context.RequestAborted = limit.Token;
            await next(context);
        }
        catch (OperationCanceledException) when (aborted.IsCancellationRequested)
        {
            // nobody is there to be told
        }
        catch (Exception e) when (ErrorAnswer.For(e, limit.IsCancellationRequested, options) is { } refusal)
        {
            context.RequestAborted = aborted;
            if (refusal.Status == StatusCodes.Status500InternalServerError) LogFailure(context.RequestServices.GetRequiredService<ILogger<ChatServer>>(), e, context.Request.Method, context.Request.Path.Value!);
            await ErrorAnswer.WriteAsync(context, refusal);
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "{Method} {Path} failed")]
    private static partial void LogFailure(ILogger logger, Exception error, string method, string path);

    /// <summary>Refuses new requests, lets running ones end within the grace, and stops listening.</summary>
    public async Task StopAsync()
    {
        await Model.Engine.StopAsync(_options.Grace);
        await _app.StopAsync();
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _app.DisposeAsync();
}
