using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace IlgpuSparse.Generation;

/// <summary>What engines tell of themselves: a <see cref="Meter"/> and an <see cref="ActivitySource"/>, both of the name <see cref="Name"/>, for whoever listens.</summary>
public sealed class EngineTelemetry : IDisposable
{
    /// <summary>Name of the meter and of the source of activities.</summary>
    public const string Name = "IlgpuSparse";

    private static readonly ActivitySource s_source = new(Name);

    // One meter for all engines of a process: two of a name would end each other's series.
    private static readonly Meter s_meter = new(Name);
    private static readonly ConcurrentDictionary<EngineTelemetry, Func<EngineStatus>> s_engines = new();
    private static readonly Counter<long> s_requests = s_meter.CreateCounter<long>("ilgpusparse.requests", "{request}", "Requests that ended, by how.");
    private static readonly Counter<long> s_promptTokens = s_meter.CreateCounter<long>("ilgpusparse.prompt.tokens", "{token}", "Prompt tokens that were computed.");
    private static readonly Counter<long> s_reusedTokens = s_meter.CreateCounter<long>("ilgpusparse.prompt.reused_tokens", "{token}", "Prompt tokens that were found in the cache.");
    private static readonly Counter<long> s_newTokens = s_meter.CreateCounter<long>("ilgpusparse.generated.tokens", "{token}", "Tokens generated.");
    private static readonly Counter<long> s_bytesRead = s_meter.CreateCounter<long>("ilgpusparse.cache.read", "By", "Bytes of K, V and labels that decode steps read.");
    private static readonly Counter<long> s_denseBytes = s_meter.CreateCounter<long>("ilgpusparse.cache.dense_read", "By", "Bytes of K and V that full attention would have read in these steps; the quotient of the two is the density.");
    private static readonly Histogram<double> s_queue = s_meter.CreateHistogram<double>("ilgpusparse.queue.time", "s", "Time from a request to its admission.");
    private static readonly Histogram<double> s_firstToken = s_meter.CreateHistogram<double>("ilgpusparse.first_token.time", "s", "Time from a request to its first token.");
    private static readonly Histogram<double> s_step = s_meter.CreateHistogram<double>("ilgpusparse.step.time", "s", "Time of a decode step.");
    private static readonly Histogram<int> s_batch = s_meter.CreateHistogram<int>("ilgpusparse.step.sequences", "{sequence}", "Sequences in a decode step.");

    static EngineTelemetry()
    {
        Gauge("ilgpusparse.requests.active", "{request}", "Requests that are computed.", s => s.Active);
        Gauge("ilgpusparse.requests.queued", "{request}", "Requests that wait.", s => s.Queued);
        Gauge("ilgpusparse.cache.prefixes", "{sequence}", "Finished texts kept in the cache.", s => s.Prefixes);
        Gauge("ilgpusparse.cache.used_tokens", "{token}", "Tokens in blocks of the cache that are held.", s => s.Capacity - s.FreeTokens);
        Gauge("ilgpusparse.cache.capacity", "{token}", "Tokens of the whole cache.", s => s.Capacity);
    }

    internal EngineTelemetry(Func<EngineStatus> status) => s_engines[this] = status;

    private static void Gauge(string name, string unit, string description, Func<EngineStatus, int> value) =>
        s_meter.CreateObservableGauge(name, () => s_engines.Values.Sum(status => value(status())), unit, description);

    /// <summary>Starts the activity of a request, below the caller's, which stays the current one.</summary>
    internal static Activity? Start(GenerationRequest request)
    {
        var caller = Activity.Current;
        var activity = s_source.StartActivity("generate");
        activity?.SetTag("ilgpusparse.prompt_tokens", request.Prompt.Count);
        Activity.Current = caller;
        return activity;
    }

    internal static void Admitted(GenerationStatistics s) => s_queue.Record(s.QueueSeconds);

    internal static void Prefilled(GenerationStatistics s)
    {
        s_promptTokens.Add(s.PromptTokens);
        s_reusedTokens.Add(s.ReusedTokens);
        s_firstToken.Record(s.FirstTokenSeconds);
    }

    internal static void Stepped(double seconds, int sequences)
    {
        s_step.Record(seconds);
        s_batch.Record(sequences);
    }

    internal static void Finished(GenerationTicket ticket, FinishReason reason, Activity? activity)
    {
        var s = ticket.Statistics;
        string outcome = reason.ToString().ToLowerInvariant();
        s_requests.Add(1, new KeyValuePair<string, object?>("outcome", outcome));
        s_newTokens.Add(s.NewTokens);
        s_bytesRead.Add(s.CacheBytesRead);
        s_denseBytes.Add(s.DenseBytesRead);
        if (activity is null) return;
        activity.SetTag("ilgpusparse.outcome", outcome);
        activity.SetTag("ilgpusparse.new_tokens", s.NewTokens);
        activity.SetTag("ilgpusparse.reused_tokens", s.ReusedTokens);
        activity.SetTag("ilgpusparse.density", s.Density);
        activity.SetTag("ilgpusparse.cache_bytes_read", s.CacheBytesRead);
        activity.SetTag("ilgpusparse.queue_seconds", s.QueueSeconds);
        activity.SetTag("ilgpusparse.first_token_seconds", s.FirstTokenSeconds);
        if (reason == FinishReason.Failed) activity.SetStatus(ActivityStatusCode.Error);
        activity.Dispose();
    }

    /// <inheritdoc/>
    public void Dispose() => s_engines.TryRemove(this, out _);
}
