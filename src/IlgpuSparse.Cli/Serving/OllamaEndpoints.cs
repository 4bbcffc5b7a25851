using System.Text;
using IlgpuSparse.Chat;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace IlgpuSparse.Cli.Serving;

/// <summary>The endpoints that clients of Ollama call: tags, chat and generate, streamed (which is their standard) or not.</summary>
internal sealed class OllamaEndpoints(ChatModel model)
{
    private const long NanosecondsPerSecond = 1_000_000_000;

    /// <summary>Adds them.</summary>
    public static void Map(IEndpointRouteBuilder app, ChatModel model)
    {
        var endpoints = new OllamaEndpoints(model);
        app.MapGet("/api/version", context => AnswerWriter.WriteAsync(context, new { version = typeof(OllamaEndpoints).Assembly.GetName().Version!.ToString(3) }));
        app.MapGet("/api/tags", context => AnswerWriter.WriteAsync(context, new { models = new[] { endpoints.Tag() } }));
        app.MapPost("/api/chat", endpoints.ChatAsync);
        app.MapPost("/api/generate", endpoints.GenerateAsync);
    }

    private object Tag()
    {
        var config = model.File.Config;
        return new
        {
            name = model.Name,
            model = model.Name,
            modified_at = File.Exists(model.File.Path) ? File.GetLastWriteTimeUtc(model.File.Path) : Directory.GetLastWriteTimeUtc(model.File.Path),
            size = model.Memory.Weights,
            digest = model.File.Fingerprint,
            details = new { format = Directory.Exists(model.File.Path) ? "safetensors" : "gguf", family = config.ModelType, families = new[] { config.ModelType }, parameter_size = "", quantization_level = "" },
        };
    }

    private void CheckName(RequestJson body)
    {
        string name = body.Text("model") ?? throw new RequestException(StatusCodes.Status400BadRequest, "'model' is missing", "model");
        if (name != model.Name && name != model.Name + ":latest") throw new RequestException(StatusCodes.Status404NotFound, $"model '{name}' not found: this server has '{model.Name}'", "model");
    }

    private async Task ChatAsync(HttpContext context)
    {
        var body = await RequestJson.ReadAsync(context.Request);
        CheckName(body);
        body.Refuse("tools", "this server calls no tools");
        var turns = (body.Objects("messages") ?? []).ConvertAll(m =>
        {
            m.Refuse("images", "the model reads text alone");
            return new ChatTurn(m.Text("role") is ("system" or "user" or "assistant") and { } role ? role : throw new RequestException(StatusCodes.Status400BadRequest, "a message's role is none of system, user and assistant", "messages"), m.Content("content"));
        });
        if (turns.Count == 0) throw new RequestException(StatusCodes.Status400BadRequest, "'messages' is missing or empty", "messages");
        await AnswerAsync(context, body, model.Template.Encode(model.Tokenizer, turns), raw: false, "message", text => new { role = "assistant", content = text });
    }

    private async Task GenerateAsync(HttpContext context)
    {
        var body = await RequestJson.ReadAsync(context.Request);
        CheckName(body);
        body.Refuse("images", "the model reads text alone");
        body.Refuse("suffix", "is not supported");
        body.Refuse("template", "is not supported; start the server with --chat-template");
        string prompt = body.Text("prompt") ?? throw new RequestException(StatusCodes.Status400BadRequest, "'prompt' is missing", "prompt");
        bool raw = body.Flag("raw");
        ChatTurn[] turns = body.Text("system") is { Length: > 0 } system ? [new("system", system), new("user", prompt)] : [new("user", prompt)];
        int[] ids = raw ? model.Tokenizer.Encode(prompt) : model.Template.Encode(model.Tokenizer, turns);
        await AnswerAsync(context, body, ids, raw, "response", text => text);
    }

    private async Task AnswerAsync(HttpContext context, RequestJson body, int[] prompt, bool raw, string field, Func<string, object> form)
    {
        body.Refuse("format", "only text is supported");
        var options = body.Object("options");
        long most = options?.Whole("num_predict", -2, SamplingFields.MostTokens) ?? -1; // -1 and -2: as much as the server gives
        var answer = model.Generate(new TextRequest
        {
            Prompt = prompt,
            MaxTokens = most >= 0 ? (int)most : null,
            Sampling = SamplingFields.Ollama(options),
            Stops = options?.Texts("stop", 16, 1000) ?? [],
            FullAttention = options?.Flag("full_attention") ?? false,
            IsContinuation = raw,
        }, context.RequestAborted);
        long start = Environment.TickCount64;
        int count = 0;
        if (body.Flag("stream", otherwise: true))
        {
            var writer = new AnswerWriter(context, events: false);
            writer.Begin();
            await foreach (var piece in answer.WithCancellation(context.RequestAborted))
            {
                if (piece.Token is not null) count++;
                if (piece.Text.Length > 0) await writer.AddAsync(Document(form(piece.Text), null));
            }
            await writer.AddAsync(Document(form(""), End()));
            return;
        }
        var text = new StringBuilder();
        await foreach (var piece in answer.WithCancellation(context.RequestAborted))
        {
            if (piece.Token is not null) count++;
            text.Append(piece.Text);
        }
        await AnswerWriter.WriteAsync(context, Document(form(text.ToString()), End()));

        Dictionary<string, object> Document(object part, Dictionary<string, object>? end)
        {
            var document = new Dictionary<string, object> { ["model"] = model.Name, ["created_at"] = DateTime.UtcNow, [field] = part, ["done"] = end is not null };
            foreach (var (name, value) in end ?? []) document[name] = value;
            return document;
        }

        Dictionary<string, object> End() => new()
        {
            ["done_reason"] = AnswerWriter.Reason(answer.FinishReason),
            ["total_duration"] = (Environment.TickCount64 - start) * (NanosecondsPerSecond / 1000),
            ["load_duration"] = 0L,
            ["prompt_eval_count"] = answer.PromptTokens,
            ["prompt_eval_duration"] = (long)(answer.Statistics.PrefillSeconds * NanosecondsPerSecond),
            ["eval_count"] = count,
            ["eval_duration"] = (long)(answer.Statistics.DecodeSeconds * NanosecondsPerSecond),
        };
    }
}
