using System.Runtime.CompilerServices;
using IlgpuSparse.Generation;
using Microsoft.Extensions.AI;

namespace IlgpuSparse.Chat;

/// <summary>
/// The <see cref="IChatClient"/> of a local model: streaming, usage, stop sequences, cancellation, sampling options. Each turn of a conversation starts from the cache of the one before, keys and labels included;
/// nothing has to be done for that but to send the whole conversation, as always.
/// </summary>
/// <remarks>
/// Of <see cref="ChatOptions"/> are taken: Instructions, MaxOutputTokens, Temperature (0.7), TopP (0.9), TopK, Seed (drawn), StopSequences, and of AdditionalProperties <c>min_p</c>, <c>repetition_penalty</c> and
/// <c>full_attention</c>. Tools and response formats are refused, penalties for frequency and presence not used.
/// </remarks>
public sealed class LlamaChatClient : IChatClient
{
    private readonly ChatModel _model;
    private readonly bool _ownsModel;
    private readonly ChatClientMetadata _metadata;

    /// <summary>A client of <paramref name="model"/>, which it disposes when it <paramref name="ownsModel"/>.</summary>
    public LlamaChatClient(ChatModel model, bool ownsModel = false)
    {
        ArgumentNullException.ThrowIfNull(model);
        (_model, _ownsModel) = (model, ownsModel);
        _metadata = new ChatClientMetadata("ilgpusparse", null, model.Name);
    }

    /// <summary>Opens a model and a client of it.</summary>
    /// <param name="path">A <c>.gguf</c> file or a Hugging Face directory.</param>
    /// <param name="options">How; see <see cref="ChatModel.Open"/> for what can go wrong.</param>
    public static LlamaChatClient Open(string path, ChatModelOptions? options = null) => new(ChatModel.Open(path, options), ownsModel: true);

    /// <inheritdoc/>
    public Task<ChatResponse> GetResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default) =>
        GetStreamingResponseAsync(messages, options, cancellationToken).ToChatResponseAsync(cancellationToken);

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">Tools, a response format, or content that is no text.</exception>
    /// <exception cref="ChatTemplateException">The model's template refuses these messages.</exception>
    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        return Stream(Request(messages, options), cancellationToken);
    }

    private async IAsyncEnumerable<ChatResponseUpdate> Stream(TextRequest request, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        string id = Guid.NewGuid().ToString("N");
        var answer = _model.Generate(request, cancellationToken);
        int tokens = 0;
        await foreach (var piece in answer.WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            if (piece.Token is not null) tokens++;
            if (piece.Text.Length > 0) yield return Update(new TextContent(piece.Text));
        }
        var last = Update(new UsageContent(new UsageDetails
        {
            InputTokenCount = answer.PromptTokens,
            OutputTokenCount = tokens,
            TotalTokenCount = answer.PromptTokens + tokens,
            CachedInputTokenCount = answer.Statistics.ReusedTokens,
        }));
        last.FinishReason = answer.FinishReason == FinishReason.Length ? ChatFinishReason.Length : ChatFinishReason.Stop;
        yield return last;

        ChatResponseUpdate Update(AIContent content) => new(ChatRole.Assistant, [content]) { ResponseId = id, MessageId = id, ModelId = _model.Name, CreatedAt = DateTimeOffset.UtcNow };
    }

    private TextRequest Request(IEnumerable<ChatMessage> messages, ChatOptions? options)
    {
        if (options?.Tools is { Count: > 0 }) throw new NotSupportedException("this client calls no tools: leave ChatOptions.Tools empty");
        if (options?.ResponseFormat is not (null or ChatResponseFormatText)) throw new NotSupportedException("this client enforces no response format: leave ChatOptions.ResponseFormat at text");
        var turns = new List<ChatTurn>();
        if (!string.IsNullOrEmpty(options?.Instructions)) turns.Add(new ChatTurn("system", options.Instructions));
        foreach (var message in messages)
        {
            if (message.Contents.FirstOrDefault(c => c is not (TextContent or TextReasoningContent or UsageContent)) is { } other) throw new NotSupportedException($"the model reads text alone, a message holds {other.GetType().Name}");
            turns.Add(new ChatTurn(message.Role.Value, message.Text));
        }
        return new TextRequest
        {
            Prompt = _model.Template.Encode(_model.Tokenizer, turns),
            MaxTokens = options?.MaxOutputTokens,
            Sampling = new SamplingOptions
            {
                Temperature = options?.Temperature ?? 0.7f,
                TopP = options?.TopP ?? 0.9f,
                TopK = options?.TopK ?? 0,
                MinP = Number(options, "min_p") ?? 0,
                RepetitionPenalty = Number(options, "repetition_penalty") ?? 1,
                Seed = (ulong?)options?.Seed ?? (ulong)Random.Shared.NextInt64(),
            },
            Stops = options?.StopSequences is { } stops ? [.. stops] : [],
            FullAttention = options?.AdditionalProperties?.TryGetValue("full_attention", out bool full) == true && full,
        };
    }

    private static float? Number(ChatOptions? options, string name) => options?.AdditionalProperties?.TryGetValue(name, out double value) == true ? (float)value : null;

    /// <inheritdoc/>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey is not null ? null
            : serviceType == typeof(ChatClientMetadata) ? _metadata
            : serviceType.IsInstanceOfType(_model) ? _model
            : serviceType.IsInstanceOfType(this) ? this : null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_ownsModel) _model.Dispose();
    }
}
