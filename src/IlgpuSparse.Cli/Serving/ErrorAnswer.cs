using IlgpuSparse.Chat;
using IlgpuSparse.Generation;
using Microsoft.AspNetCore.Http;

namespace IlgpuSparse.Cli.Serving;

/// <summary>What a client is told when its request cannot be served.</summary>
internal static class ErrorAnswer
{
    /// <summary>The refusal that <paramref name="error"/> means.</summary>
    public static RequestException? For(Exception error, bool timedOut, ServerOptions options) => error switch
    {
        RequestException refusal => refusal,
        BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge } => new RequestException(StatusCodes.Status413PayloadTooLarge, $"the body has more than {options.MaxBodyBytes:N0} bytes, which is the limit"),
        BadHttpRequestException bad => new RequestException(bad.StatusCode, bad.Message),
        EngineBusyException { RetryAfter: { } after } => new RequestException(StatusCodes.Status429TooManyRequests, error.Message, code: "queue_full") { RetryAfter = after },
        EngineBusyException => new RequestException(StatusCodes.Status503ServiceUnavailable, error.Message),
        ChatTemplateException { IsRefusal: true } => new RequestException(StatusCodes.Status400BadRequest, $"the model's chat template refuses these messages: {error.Message}", "messages"),
        ChatTemplateException => new RequestException(StatusCodes.Status400BadRequest, error.Message, "messages"),
        OperationCanceledException when timedOut => new RequestException(StatusCodes.Status503ServiceUnavailable, $"the answer took longer than {options.Timeout.TotalSeconds:0} s, which is the limit", code: "timeout"),
        OperationCanceledException => new RequestException(StatusCodes.Status503ServiceUnavailable, "the server is stopping"),
        ArgumentException { ParamName: not null } => new RequestException(StatusCodes.Status400BadRequest, error.Message.IndexOf(" (Parameter '", StringComparison.Ordinal) is > 0 and int end ? error.Message[..end] : error.Message),
        ArgumentException => new RequestException(StatusCodes.Status400BadRequest, error.Message),
        _ => new RequestException(StatusCodes.Status500InternalServerError, $"the server failed: {error.Message}"),
    };

    /// <summary>Writes it in the form of the API that was called; into a stream that has begun, as its last piece.</summary>
    public static async Task WriteAsync(HttpContext context, RequestException refusal)
    {
        bool ollama = context.Request.Path.StartsWithSegments("/api");
        string type = refusal.Status switch
        {
            401 => "authentication_error",
            429 => "rate_limit_error",
            >= 500 => "server_error",
            _ => "invalid_request_error",
        };
        object document = ollama ? new { error = refusal.Message } : new { error = new { message = refusal.Message, type, param = refusal.Field, code = refusal.Code } };
        if (context.Response.HasStarted)
        {
            await new AnswerWriter(context, events: !ollama).AddAsync(document);
            return;
        }
        if (refusal.RetryAfter is { } after) context.Response.Headers.RetryAfter = ((int)Math.Ceiling(after.TotalSeconds)).ToString();
        if (refusal.Status == StatusCodes.Status401Unauthorized) context.Response.Headers.WWWAuthenticate = "Bearer";
        await AnswerWriter.WriteAsync(context, document, refusal.Status);
    }
}
