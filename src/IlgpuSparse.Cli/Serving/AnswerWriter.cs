using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using IlgpuSparse.Generation;
using Microsoft.AspNetCore.Http;

namespace IlgpuSparse.Cli.Serving;

/// <summary>Writes JSON answers, at once or piece by piece: as server-sent events (OpenAI) or as lines (Ollama).</summary>
internal sealed class AnswerWriter(HttpContext context, bool events)
{
    private static readonly JsonSerializerOptions s_options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes one document as the whole answer.</summary>
    public static Task WriteAsync(HttpContext context, object document, int status = StatusCodes.Status200OK)
    {
        context.Response.StatusCode = status;
        return context.Response.WriteAsJsonAsync(document, s_options, context.RequestAborted);
    }

    /// <summary>Begins a stream.</summary>
    public void Begin()
    {
        context.Response.ContentType = events ? "text/event-stream" : "application/x-ndjson";
        context.Response.Headers.CacheControl = "no-cache";
        context.Response.Headers["X-Accel-Buffering"] = "no";
    }

    /// <summary>Writes a piece and sends it off.</summary>
    public async Task AddAsync(object document)
    {
        var body = context.Response.BodyWriter;
        if (events) body.Write("data: "u8);
        body.Write(JsonSerializer.SerializeToUtf8Bytes(document, s_options));
        body.Write(events ? "\n\n"u8 : "\n"u8);
        await body.FlushAsync(context.RequestAborted);
    }

    /// <summary>Ends a stream of events.</summary>
    public async Task EndAsync()
    {
        if (!events) return;
        context.Response.BodyWriter.Write("data: [DONE]\n\n"u8);
        await context.Response.BodyWriter.FlushAsync(context.RequestAborted);
    }

    /// <summary>How OpenAI and Ollama name the end of a text.</summary>
    public static string Reason(FinishReason reason) => reason == FinishReason.Length ? "length" : "stop";
}
