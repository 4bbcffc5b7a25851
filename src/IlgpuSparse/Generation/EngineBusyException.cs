namespace IlgpuSparse.Generation;

/// <summary>The queue of a <see cref="GenerationEngine"/> is full, or it is stopping: a request was refused.</summary>
public sealed class EngineBusyException : Exception
{
    /// <summary>A refusal.</summary>
    /// <param name="message">Says which limit was met.</param>
    /// <param name="retryAfter">When trying again makes sense; null when it does not.</param>
    public EngineBusyException(string message, TimeSpan? retryAfter) : base(message) => RetryAfter = retryAfter;

    /// <summary>An estimate of when there will be room, from how long requests took lately; null when the engine is stopping.</summary>
    public TimeSpan? RetryAfter { get; }
}
