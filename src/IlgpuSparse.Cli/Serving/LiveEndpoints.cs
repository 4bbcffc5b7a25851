using System.Reflection;
using IlgpuSparse.Chat;
using IlgpuSparse.Generation;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace IlgpuSparse.Cli.Serving;

/// <summary>The page, and what it asks for: answers with what was read for every token of them.</summary>
internal sealed class LiveEndpoints(ChatModel model)
{
    private static readonly Dictionary<string, string> s_files = new() { ["index.html"] = "text/html", ["page.js"] = "text/javascript", ["page.css"] = "text/css" };

    /// <summary>Adds them.</summary>
    public static void Map(IEndpointRouteBuilder app, ChatModel model)
    {
        var endpoints = new LiveEndpoints(model);
        app.MapGet("/", context => SendAsync(context, "index.html"));
        app.MapGet("/page/{file}", context => SendAsync(context, (string)context.Request.RouteValues["file"]!));
        app.MapGet("/live/model", context => AnswerWriter.WriteAsync(context, endpoints.Model()));
        app.MapPost("/live/chat", endpoints.ChatAsync);
    }

    private static async Task SendAsync(HttpContext context, string file)
    {
        if (!s_files.TryGetValue(file, out string? type))
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            return;
        }
        await using var content = Assembly.GetExecutingAssembly().GetManifestResourceStream("page/" + file)!;
        context.Response.ContentType = type + "; charset=utf-8";
        context.Response.Headers.ContentSecurityPolicy = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'";
        context.Response.Headers.XContentTypeOptions = "nosniff";
        context.Response.Headers.CacheControl = "no-cache";
        await content.CopyToAsync(context.Response.Body, context.RequestAborted);
    }

    private object Model() => new
    {
        name = model.Name,
        backend = model.Backend.Description,
        attention = model.Attention.ToString(),
        template = model.Template.Name,
        context = model.Context,
        layers = model.File.Config.Layers,
        heads = model.File.Config.Heads,
        kvHeads = model.File.Config.KvHeads,
        columns = AttentionTrace.Columns,
    };

    private async Task ChatAsync(HttpContext context)
    {
        var body = await RequestJson.ReadAsync(context.Request);
        var turns = (body.Objects("messages") ?? []).ConvertAll(m => new ChatTurn(m.Text("role") ?? "user", m.Content("content")));
        if (turns.Count == 0) throw new RequestException(StatusCodes.Status400BadRequest, "'messages' is missing or empty", "messages");
        var answer = model.Generate(new TextRequest
        {
            Prompt = model.Template.Encode(model.Tokenizer, turns),
            MaxTokens = (int?)body.Whole("max_tokens", 1, SamplingFields.MostTokens),
            Sampling = SamplingFields.OpenAi(body),
            FullAttention = body.Flag("full_attention"),
            TraceAttention = body.Flag("trace"),
        }, context.RequestAborted);
        var writer = new AnswerWriter(context, events: true);
        writer.Begin();
        await foreach (var piece in answer.WithCancellation(context.RequestAborted))
        {
            if (piece.Token is not null) await writer.AddAsync(new { text = piece.Text, statistics = Statistics(answer), trace = Trace(piece.Token.Trace) });
            else await writer.AddAsync(new { text = piece.Text });
        }
        await writer.AddAsync(new { text = "", done = AnswerWriter.Reason(answer.FinishReason), statistics = Statistics(answer) });
        await writer.EndAsync();
    }

    private static object Statistics(TextGeneration answer)
    {
        var s = answer.Statistics;
        return new
        {
            promptTokens = answer.PromptTokens,
            reusedTokens = s.ReusedTokens,
            newTokens = s.NewTokens,
            firstTokenSeconds = s.FirstTokenSeconds,
            tokensPerSecond = s.DecodeTokensPerSecond,
            density = s.Density,
            cacheBytesPerToken = s.CacheBytesPerToken,
        };
    }

    private static object? Trace(AttentionTrace? trace) => trace is null ? null : new
    {
        position = trace.Position,
        massKept = trace.Heads.Average(h => h.MassKept),
        tokensRead = trace.Heads.Average(h => (double)(h.Positions?.Count ?? trace.Position + 1)),
        heads = trace.Heads.Select(h => new { layer = h.Layer, head = h.Head, read = Read(h, trace.Position + 1), massKept = h.MassKept, heat = h.Heat.Select(w => Math.Round(w, 5)) }),
    };

    // By column of the heat, which share of its tokens was read.
    private static IEnumerable<double> Read(HeadTrace head, int length)
    {
        const int Columns = AttentionTrace.Columns;
        if (head.Positions is null) return Enumerable.Repeat(1.0, Columns);
        int[] read = new int[Columns], all = new int[Columns];
        foreach (int position in head.Positions) read[(long)position * Columns / length]++;
        for (int t = 0; t < length; t++) all[(long)t * Columns / length]++;
        return read.Zip(all, (r, n) => n > 0 ? Math.Round((double)r / n, 3) : 0);
    }
}
