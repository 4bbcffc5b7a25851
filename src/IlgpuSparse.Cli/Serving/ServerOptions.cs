namespace IlgpuSparse.Cli.Serving;

/// <summary>Limits and address of a <see cref="ChatServer"/>.</summary>
internal sealed record ServerOptions
{
    /// <summary>Address to listen at: a name or number; loopback unless somebody says otherwise.</summary>
    public string Host { get; init; } = "127.0.0.1";

    /// <summary>Port; 0 for any that is free.</summary>
    public int Port { get; init; } = 8080;

    /// <summary>What clients must send as bearer token; null for nothing.</summary>
    public string? ApiKey { get; init; }

    /// <summary>Largest body.</summary>
    public long MaxBodyBytes { get; init; } = 4 << 20;

    /// <summary>Longest time that the headers of a request may take. A body that comes slower than Kestrel's 240 bytes a second is given up after 5 s.</summary>
    public TimeSpan HeaderTime { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Longest time that an answer may take, waiting included.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How long running answers may go on when the server stops.</summary>
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Whether failures and warnings are logged to standard error.</summary>
    public bool Log { get; init; }
}
