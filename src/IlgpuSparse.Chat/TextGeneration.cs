using IlgpuSparse.Generation;

namespace IlgpuSparse.Chat;

/// <summary>An answer as it comes. Its pieces can be read once; ending the enumeration ends the work.</summary>
public sealed class TextGeneration : IAsyncEnumerable<TextPiece>
{
    private readonly ChatModel _model;
    private readonly TextRequest _request;
    private readonly GenerationTicket _ticket;
    private readonly CancellationTokenSource _cancel;

    internal TextGeneration(ChatModel model, TextRequest request, CancellationToken cancellation)
    {
        (_model, _request) = (model, request);
        _cancel = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        try
        {
            _ticket = model.Engine.Submit(new GenerationRequest
            {
                Prompt = request.Prompt,
                Options = new GenerationOptions { MaxTokens = request.MaxTokens ?? model.MaxTokens, Sampling = request.Sampling, StopIds = [.. model.Tokenizer.EosIds] },
                FullAttention = request.FullAttention,
                TopLogProbabilities = request.TopLogProbabilities,
                TraceAttention = request.TraceAttention,
            }, _cancel.Token);
        }
        catch
        {
            _cancel.Dispose();
            throw;
        }
    }

    /// <summary>Why it ended; <see cref="FinishReason.None"/> before that.</summary>
    public FinishReason FinishReason { get; private set; }

    /// <summary>The text that ended it; null when none did.</summary>
    public string? StoppedBy { get; private set; }

    /// <summary>Times and bytes so far.</summary>
    public GenerationStatistics Statistics => _ticket.Statistics;

    /// <summary>Tokens of the prompt.</summary>
    public int PromptTokens => _request.Prompt.Count;

    /// <summary>The pieces, each as soon as its text is certain.</summary>
    /// <param name="cancellationToken">Ends the waiting and the work.</param>
    public async IAsyncEnumerator<TextPiece> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        var decoder = _model.Tokenizer.CreateDecoder(_request.IsContinuation);
        var stops = new StopMatcher(_request.IsContinuation ? _request.Stops : [.. _request.Stops, .. _model.Template.StopTexts]);
        try
        {
            await foreach (var token in _ticket.WithCancellation(cancellationToken).ConfigureAwait(false))
            {
                string text = stops.Append(decoder.Append(token.Id));
                yield return new TextPiece(text, token);
                if (stops.Found is null) continue;
                StoppedBy = stops.Found;
                FinishReason = FinishReason.Stop;
                yield break;
            }
            string rest = stops.Append(decoder.Flush()) + stops.Flush();
            FinishReason = stops.Found is null ? _ticket.FinishReason : FinishReason.Stop;
            StoppedBy = stops.Found;
            if (rest.Length > 0) yield return new TextPiece(rest, null);
        }
        finally
        {
            await _cancel.CancelAsync().ConfigureAwait(false);
            _cancel.Dispose();
        }
    }
}
