using System.Diagnostics;
using IlgpuSparse.Compute;

namespace IlgpuSparse.Generation;

/// <summary>A text that a <see cref="GenerationEngine"/> works on.</summary>
internal sealed class ActiveText
{
    private readonly Activity? _activity;

    public ActiveText(GenerationTicket ticket, int limit, Activity? activity)
    {
        Ticket = ticket;
        Limit = limit;
        _activity = activity;
        Sampler = new Sampler(ticket.Request.Options.Sampling);
        Asked = Stopwatch.GetTimestamp();
    }

    public GenerationTicket Ticket { get; }

    public GenerationRequest Request => Ticket.Request;

    public GenerationStatistics Statistics => Ticket.Statistics;

    public Sampler Sampler { get; }

    /// <summary>When it was asked for.</summary>
    public long Asked { get; }

    /// <summary>When its prefill began.</summary>
    public long Started { get; set; }

    /// <summary>Tokens that it may have in the cache, at most: what its admission reserves.</summary>
    public int Limit { get; }

    /// <summary>What is in the cache.</summary>
    public KeptPrefix Text { get; set; } = null!;

    /// <summary>Whether the prompt is not in the cache yet, but for parts.</summary>
    public bool IsPrefilling { get; set; } = true;

    /// <summary>The token drawn last, which the next step appends.</summary>
    public int Next { get; set; }

    /// <summary>Tokens drawn.</summary>
    public int Drawn { get; set; }

    public bool IsCancelled => Ticket.Cancellation.IsCancellationRequested;

    /// <summary>Begins its prefill, where the cache ends to know it: others of <paramref name="active"/> may have computed more of its beginning since it was admitted.</summary>
    public void Begin(IEnumerable<ActiveText> active)
    {
        Started = Stopwatch.GetTimestamp();
        var better = active.Where(t => t != this).Select(t => t.Text).MaxBy(Common);
        if (better is not null && Common(better) / KvLayer.BlockTokens * KvLayer.BlockTokens is int whole && whole > Text.Tokens.Count)
        {
            Text.Sequence.Dispose();
            Text = better.Forked(whole);
        }
        Statistics.ReusedTokens = Text.Tokens.Count;

        int Common(KeptPrefix text) => text.Common(Request.Prompt, Request.FullAttention);
    }

    /// <summary>Notes tokens that were appended to the sequence.</summary>
    public void Append(ReadOnlySpan<int> tokens, bool exact)
    {
        int before = Text.Tokens.Count;
        Text.Tokens.AddRange(tokens);
        if (exact && Text.Exact == before) Text = Text with { Exact = Text.Tokens.Count };
    }

    /// <summary>Ends it.</summary>
    public void Finish(FinishReason reason, Exception? error = null)
    {
        // told of before whoever reads the ticket goes on: its span ends within the reader's own, and before a server that stops now
        EngineTelemetry.Finished(Ticket, reason, _activity);
        Ticket.Finish(reason, error);
    }
}
