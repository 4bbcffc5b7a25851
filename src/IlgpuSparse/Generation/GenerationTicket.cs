using System.Threading.Channels;

namespace IlgpuSparse.Generation;

/// <summary>A request that a <see cref="GenerationEngine"/> has taken: its tokens as they come. They can be read once.</summary>
public sealed class GenerationTicket : IAsyncEnumerable<GeneratedToken>
{
    // No bound: a slow reader must not hold up the others, and there are at most as many as the request asked for.
    private readonly Channel<GeneratedToken> _tokens = Channel.CreateUnbounded<GeneratedToken>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });

    internal GenerationTicket(GenerationRequest request, CancellationToken cancellation) => (Request, Cancellation) = (request, cancellation);

    /// <summary>What was asked.</summary>
    public GenerationRequest Request { get; }

    /// <summary>Times and bytes so far.</summary>
    public GenerationStatistics Statistics { get; } = new();

    /// <summary>Why it ended; <see cref="FinishReason.None"/> before that.</summary>
    public FinishReason FinishReason { get; private set; }

    internal CancellationToken Cancellation { get; }

    /// <summary>The tokens, each as soon as it is drawn.</summary>
    /// <param name="cancellationToken">Ends the waiting; what the engine does is ended by the token given with the request.</param>
    /// <exception cref="OperationCanceledException">The request was cancelled.</exception>
    public IAsyncEnumerator<GeneratedToken> GetAsyncEnumerator(CancellationToken cancellationToken = default) => _tokens.Reader.ReadAllAsync(cancellationToken).GetAsyncEnumerator(cancellationToken);

    internal void Add(GeneratedToken token) => _tokens.Writer.TryWrite(token);

    internal void Finish(FinishReason reason, Exception? error = null)
    {
        FinishReason = reason;
        _tokens.Writer.TryComplete(error);
    }
}
