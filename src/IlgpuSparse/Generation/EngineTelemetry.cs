using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace IlgpuSparse.Generation;

/// <summary>What engines tell of themselves: a <see cref="Meter"/> and an <see cref="ActivitySource"/>, both of the name <see cref="Name"/>, for whoever listens.</summary>
public sealed class EngineTelemetry : IDisposable
{
    /// <summary>Name of the meter and of the source of activities.</summary>
    public const string Name = "IlgpuSparse";

    private static readonly ActivitySource s_source = new(Name);

    private readonly Meter _meter = new(Name);
    private readonly Counter<long> _requests, _promptTokens, _reusedTokens, _newTokens, _bytesRead, _denseBytes;
    private readonly Histogram<double> _queue, _firstToken, _step;
    private readonly Histogram<int> _batch;

    internal EngineTelemetry(Func<EngineStatus> status)
    {
        _requests = _meter.CreateCounter<long>("ilgpusparse.requests", "{request}", "Requests that ended, by how.");
        _promptTokens = _meter.CreateCounter<long>("ilgpusparse.prompt.tokens", "{token}", "Prompt tokens that were computed.");
        _reusedTokens = _meter.CreateCounter<long>("ilgpusparse.prompt.reused_tokens", "{token}", "Prompt tokens that were found in the cache.");
        _newTokens = _meter.CreateCounter<long>("ilgpusparse.generated.tokens", "{token}", "Tokens generated.");
        _bytesRead = _meter.CreateCounter<long>("ilgpusparse.cache.read", "By", "Bytes of K, V and labels that decode steps read.");
        _denseBytes = _meter.CreateCounter<long>("ilgpusparse.cache.dense_read", "By", "Bytes of K and V that full attention would have read in these steps; the quotient of the two is the density.");
        _queue = _meter.CreateHistogram<double>("ilgpusparse.queue.time", "s", "Time from a request to its admission.");
        _firstToken = _meter.CreateHistogram<double>("ilgpusparse.first_token.time", "s", "Time from a request to its first token.");
        _step = _meter.CreateHistogram<double>("ilgpusparse.step.time", "s", "Time of a decode step.");
        _batch = _meter.CreateHistogram<int>("ilgpusparse.step.sequences", "{sequence}", "Sequences in a decode step.");
        _meter.CreateObservableGauge("ilgpusparse.requests.active", () => status().Active, "{request}", "Requests that are computed.");
        _meter.CreateObservableGauge("ilgpusparse.requests.queued", () => status().Queued, "{request}", "Requests that wait.");
        _meter.CreateObservableGauge("ilgpusparse.cache.prefixes", () => status().Prefixes, "{sequence}", "Finished texts kept in the cache.");
        _meter.CreateObservableGauge("ilgpusparse.cache.used_tokens", () => status() is var s ? s.Capacity - s.FreeTokens : 0, "{token}", "Tokens in blocks of the cache that are held.");
        _meter.CreateObservableGauge("ilgpusparse.cache.capacity", () => status().Capacity, "{token}", "Tokens of the whole cache.");
    }

    /// <summary>Starts the activity of a request, below the caller's, which stays the current one.</summary>
    internal static Activity? Start(GenerationRequest request)
    {
        var caller = Activity.Current;
        var activity = s_source.StartActivity("generate");
        activity?.SetTag("ilgpusparse.prompt_tokens", request.Prompt.Count);
        Activity.Current = caller;
        return activity;
    }

    internal void Admitted(GenerationStatistics s) => _queue.Record(s.QueueSeconds);

    internal void Prefilled(GenerationStatistics s)
    {
        _promptTokens.Add(s.PromptTokens);
        _reusedTokens.Add(s.ReusedTokens);
        _firstToken.Record(s.FirstTokenSeconds);
    }

    internal void Stepped(double seconds, int sequences)
    {
        _step.Record(seconds);
        _batch.Record(sequences);
    }

    internal void Finished(GenerationTicket ticket, Activity? activity)
    {
        var s = ticket.Statistics;
        string reason = ticket.FinishReason.ToString().ToLowerInvariant();
        _requests.Add(1, new KeyValuePair<string, object?>("outcome", reason));
        _newTokens.Add(s.NewTokens);
        _bytesRead.Add(s.CacheBytesRead);
        _denseBytes.Add(s.DenseBytesRead);
        if (activity is null) return;
        activity.SetTag("ilgpusparse.outcome", reason);
        activity.SetTag("ilgpusparse.new_tokens", s.NewTokens);
        activity.SetTag("ilgpusparse.reused_tokens", s.ReusedTokens);
        activity.SetTag("ilgpusparse.density", s.Density);
        activity.SetTag("ilgpusparse.cache_bytes_read", s.CacheBytesRead);
        activity.SetTag("ilgpusparse.queue_seconds", s.QueueSeconds);
        activity.SetTag("ilgpusparse.first_token_seconds", s.FirstTokenSeconds);
        if (ticket.FinishReason == FinishReason.Failed) activity.SetStatus(ActivityStatusCode.Error);
        activity.Dispose();
    }

    /// <inheritdoc/>
    public void Dispose() => _meter.Dispose();
}
