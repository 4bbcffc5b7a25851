using System.Text;
using IlgpuSparse.Chat;
using IlgpuSparse.Generation;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace IlgpuSparse.Cli.Serving;

/// <summary>The endpoints that clients of OpenAI call: models, chat completions and completions, streamed or not.</summary>
internal sealed class OpenAiEndpoints(ChatModel model)
{
    private static readonly long s_created = DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    /// <summary>Adds them.</summary>
    public static void Map(IEndpointRouteBuilder app, ChatModel model)
    {
        var endpoints = new OpenAiEndpoints(model);
        app.MapGet("/v1/models", context => AnswerWriter.WriteAsync(context, new { @object = "list", data = new[] { endpoints.Model() } }));
        app.MapGet("/v1/models/{**id}", context => AnswerWriter.WriteAsync(context, endpoints.CheckName((string?)context.Request.RouteValues["id"]).Model()));
        app.MapPost("/v1/chat/completions", endpoints.ChatAsync);
        app.MapPost("/v1/completions", endpoints.CompleteAsync);
    }

    private object Model() => new { id = model.Name, @object = "model", created = s_created, owned_by = "local" };

    private OpenAiEndpoints CheckName(string? name) => name is null || name == model.Name ? this
        : throw new RequestException(StatusCodes.Status404NotFound, $"there is no model '{name}': this server has '{model.Name}'", "model", "model_not_found");

    private async Task ChatAsync(HttpContext context)
    {
        var body = await RequestJson.ReadAsync(context.Request);
        CheckName(body.Text("model"));
        body.Refuse("tools", "this server calls no tools");
        body.Refuse("functions", "this server calls no functions");
        if (body.Object("response_format")?.Text("type") is not (null or "text")) throw new RequestException(StatusCodes.Status400BadRequest, "'response_format': only text is supported", "response_format");
        var messages = body.Objects("messages");
        if (messages is not { Count: > 0 }) throw new RequestException(StatusCodes.Status400BadRequest, "'messages' is missing or empty", "messages");
        var turns = messages.ConvertAll(m => new ChatTurn(Role(m), m.Content("content")));
        int? likely = body.Flag("logprobs") ? (int)(body.Whole("top_logprobs", 0, 20) ?? 0) : null;
        long? most = body.Whole("max_completion_tokens", 1, SamplingFields.MostTokens) ?? body.Whole("max_tokens", 1, SamplingFields.MostTokens);
        var request = Request(body, model.Template.Encode(model.Tokenizer, turns), most, likely);
        string id = "chatcmpl-" + Guid.NewGuid().ToString("N");
        var answer = model.Generate(request, context.RequestAborted);
        var fields = new { id, created = DateTimeOffset.UtcNow.ToUnixTimeSeconds(), model = model.Name };
        if (!body.Flag("stream"))
        {
            var (text, tokens) = await ReadAsync(answer, context.RequestAborted);
            object? logprobs = likely is null ? null : new { content = tokens.ConvertAll(LogProbability), refusal = (object?)null };
            await AnswerWriter.WriteAsync(context, new
            {
                fields.id,
                @object = "chat.completion",
                fields.created,
                fields.model,
                choices = new[] { new { index = 0, message = new { role = "assistant", content = text, refusal = (string?)null }, logprobs, finish_reason = AnswerWriter.Reason(answer.FinishReason) } },
                usage = Usage(answer, tokens.Count),
            });
            return;
        }
        var writer = new AnswerWriter(context, events: true);
        writer.Begin();
        bool usage = body.Object("stream_options")?.Flag("include_usage") ?? false;
        object Chunk(object delta, object? logprobs, string? reason) => new { fields.id, @object = "chat.completion.chunk", fields.created, fields.model, choices = new[] { new { index = 0, delta, logprobs, finish_reason = reason } } };
        await writer.AddAsync(Chunk(new { role = "assistant", content = "" }, null, null));
        int count = 0;
        await foreach (var piece in answer.WithCancellation(context.RequestAborted))
        {
            if (piece.Token is not null) count++;
            object? logprobs = likely is null || piece.Token is null ? null : new { content = new[] { LogProbability(piece.Token) } };
            if (piece.Text.Length > 0 || logprobs is not null) await writer.AddAsync(Chunk(new { content = piece.Text }, logprobs, null));
        }
        await writer.AddAsync(Chunk(new { }, null, AnswerWriter.Reason(answer.FinishReason)));
        if (usage) await writer.AddAsync(new { fields.id, @object = "chat.completion.chunk", fields.created, fields.model, choices = Array.Empty<object>(), usage = Usage(answer, count) });
        await writer.EndAsync();
    }

    private static string Role(RequestJson message) => message.Text("role") switch
    {
        "developer" => "system",
        ("system" or "user" or "assistant" or "tool") and { } role => role,
        var other => throw new RequestException(StatusCodes.Status400BadRequest, $"a message has the role '{other}': there are system, user and assistant", "messages"),
    };

    private async Task CompleteAsync(HttpContext context)
    {
        var body = await RequestJson.ReadAsync(context.Request);
        CheckName(body.Text("model"));
        body.Refuse("echo", "is not supported");
        body.Refuse("suffix", "is not supported");
        _ = body.Whole("best_of", 1, 1); // more than one would be refused
        int? likely = (int?)body.Whole("logprobs", 0, 20);
        int[] prompt = body.Ids("prompt") ?? (body.Texts("prompt", 1, int.MaxValue) is [var text] ? model.Tokenizer.Encode(text) : throw new RequestException(StatusCodes.Status400BadRequest, "'prompt' is missing", "prompt"));
        var request = Request(body, prompt, body.Whole("max_tokens", 1, SamplingFields.MostTokens), likely) with { IsContinuation = true };
        string id = "cmpl-" + Guid.NewGuid().ToString("N");
        var answer = model.Generate(request, context.RequestAborted);
        var fields = new { id, created = DateTimeOffset.UtcNow.ToUnixTimeSeconds(), model = model.Name };
        object Document(string part, object? logprobs, string? reason, object? usage) =>
            new { fields.id, @object = "text_completion", fields.created, fields.model, choices = new[] { new { index = 0, text = part, logprobs, finish_reason = reason } }, usage };
        if (!body.Flag("stream"))
        {
            var (whole, tokens) = await ReadAsync(answer, context.RequestAborted);
            await AnswerWriter.WriteAsync(context, Document(whole, likely is null ? null : LogProbabilities(tokens), AnswerWriter.Reason(answer.FinishReason), Usage(answer, tokens.Count)));
            return;
        }
        var writer = new AnswerWriter(context, events: true);
        writer.Begin();
        int count = 0;
        await foreach (var piece in answer.WithCancellation(context.RequestAborted))
        {
            if (piece.Token is not null) count++;
            object? logprobs = likely is null || piece.Token is null ? null : LogProbabilities([piece.Token]);
            if (piece.Text.Length > 0 || logprobs is not null) await writer.AddAsync(Document(piece.Text, logprobs, null, null));
        }
        bool usage = body.Object("stream_options")?.Flag("include_usage") ?? false;
        await writer.AddAsync(Document("", null, AnswerWriter.Reason(answer.FinishReason), usage ? Usage(answer, count) : null));
        await writer.EndAsync();
    }

    private static TextRequest Request(RequestJson body, int[] prompt, long? most, int? likely)
    {
        _ = body.Whole("n", 1, 1); // more than one is refused
        return new TextRequest
        {
            Prompt = prompt,
            MaxTokens = (int?)most,
            Sampling = SamplingFields.OpenAi(body),
            Stops = body.Texts("stop", 16, 1000),
            TopLogProbabilities = likely,
            FullAttention = body.Flag("full_attention"),
        };
    }

    private static async Task<(string Text, List<GeneratedToken> Tokens)> ReadAsync(TextGeneration answer, CancellationToken cancellation)
    {
        var text = new StringBuilder();
        var tokens = new List<GeneratedToken>();
        await foreach (var piece in answer.WithCancellation(cancellation))
        {
            text.Append(piece.Text);
            if (piece.Token is not null) tokens.Add(piece.Token);
        }
        return (text.ToString(), tokens);
    }

    private static object Usage(TextGeneration answer, int tokens) => new
    {
        prompt_tokens = answer.PromptTokens,
        completion_tokens = tokens,
        total_tokens = answer.PromptTokens + tokens,
        prompt_tokens_details = new { cached_tokens = answer.Statistics.ReusedTokens },
    };

    private object LogProbability(GeneratedToken token) => new
    {
        token = Spelling(token.Id),
        logprob = token.LogProbability,
        bytes = Bytes(token.Id),
        top_logprobs = token.MostLikely.Select(t => new { token = Spelling(t.Id), logprob = t.LogProbability, bytes = Bytes(t.Id) }),
    };

    private object LogProbabilities(List<GeneratedToken> tokens) => new
    {
        tokens = tokens.Select(t => Spelling(t.Id)),
        token_logprobs = tokens.Select(t => t.LogProbability),
        top_logprobs = tokens.Select(t => t.MostLikely.GroupBy(m => Spelling(m.Id)).ToDictionary(g => g.Key, g => g.First().LogProbability)),
    };

    private string Spelling(int id) => Encoding.UTF8.GetString(model.Tokenizer.Bytes(id));

    private int[] Bytes(int id) => [.. model.Tokenizer.Bytes(id).ToArray().Select(b => (int)b)];
}
