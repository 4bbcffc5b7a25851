namespace IlgpuSparse.Cli.Serving;

/// <summary>A request that is refused: the status and what the client is told.</summary>
internal sealed class RequestException(int status, string message, string? wrong = null, string? code = null) : Exception(message)
{
    public int Status => status;

    /// <summary>The field of the body that is wrong.</summary>
    public string? Field => wrong;

    /// <summary>A word for programs.</summary>
    public string? Code => code;

    /// <summary>When to try again.</summary>
    public TimeSpan? RetryAfter { get; init; }
}
