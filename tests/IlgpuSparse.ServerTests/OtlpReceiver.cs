using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace IlgpuSparse.ServerTests;

/// <summary>A collector of OpenTelemetry traces as far as a test needs one: takes what an exporter sends by OTLP, over gRPC or as protocol buffers over HTTP, and decodes the spans.</summary>
internal sealed class OtlpReceiver : IAsyncDisposable
{
    private readonly WebApplication _app;

    private OtlpReceiver(WebApplication app) => _app = app;

    /// <summary>Spans that have arrived.</summary>
    public ConcurrentQueue<OtlpSpan> Spans { get; } = [];

    /// <summary>Where it listens.</summary>
    public string Address => _app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();

    /// <summary>Listens at a free port.</summary>
    /// <param name="grpc">Whether it speaks gRPC, which is HTTP/2 alone.</param>
    public static async Task<OtlpReceiver> StartAsync(bool grpc)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = grpc ? HttpProtocols.Http2 : HttpProtocols.Http1));
        var receiver = new OtlpReceiver(builder.Build());
        receiver._app.Run(receiver.TakeAsync);
        await receiver._app.StartAsync();
        return receiver;
    }

    private async Task TakeAsync(HttpContext context)
    {
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body);
        bool grpc = context.Request.ContentType == "application/grpc";
        if (context.Request.Path != (grpc ? "/opentelemetry.proto.collector.trace.v1.TraceService/Export" : "/v1/traces"))
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            return;
        }
        // before a message of gRPC stand a byte that says whether it is compressed, and its length
        foreach (var span in OtlpSpan.Read(body.ToArray()[(grpc ? 5 : 0)..])) Spans.Enqueue(span);
        context.Response.ContentType = context.Request.ContentType;
        if (!grpc) return;
        await context.Response.Body.WriteAsync(new byte[5]);
        context.Response.AppendTrailer("grpc-status", "0");
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();
}
