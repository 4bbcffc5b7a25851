using System.Diagnostics;
using System.Runtime.InteropServices;
using IlgpuSparse.Cache;
using IlgpuSparse.Llama;

namespace IlgpuSparse.Generation;

/// <summary>
/// Continues several texts at once with one decoder, by continuous batching: every step takes one token of each text in progress, texts join and leave between steps, and long prompts are prefilled a chunk at a time
/// in between. Requests are admitted in their order when the cache has room for all that they may become, so that an admitted text never fails for memory and none is overtaken. Prompts that begin like
/// an earlier text start from its cache. Safe for use by several threads; a thread of its own does the work and owns the decoder.
/// </summary>
public sealed class GenerationEngine : IDisposable
{
    private readonly LlamaDecoder _decoder;
    private readonly EngineOptions _options;
    private readonly EngineTelemetry _telemetry;
    private readonly AttentionTracer _tracer;
    private readonly PrefixCache _prefixes;
    private readonly Thread _thread;
    private readonly object _gate = new();
    private readonly LinkedList<ActiveText> _waiting = new(); // guarded by the gate
    private readonly List<ActiveText> _active = [];
    private readonly int _slots;
    private volatile EngineStatus _status;
    private bool _stopping, _disposed; // guarded by the gate
    private double _usualSeconds = 1;
    private (ActiveText Text, StepQueue Steps)? _alone;

    /// <summary>Starts the thread.</summary>
    /// <param name="decoder">Used by nobody else from now on; disposed by whoever made it, after the engine.</param>
    /// <param name="options">Limits.</param>
    /// <exception cref="ArgumentOutOfRangeException">A negative limit.</exception>
    public GenerationEngine(LlamaDecoder decoder, EngineOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(decoder);
        _options = options ?? new EngineOptions();
        ArgumentOutOfRangeException.ThrowIfNegative(_options.QueueLimit, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(_options.KeptPrefixes, nameof(options));
        _decoder = decoder;
        _slots = decoder.Options.MaxSequences;
        _tracer = new AttentionTracer(decoder);
        _prefixes = new PrefixCache(decoder.Cache, _options.KeptPrefixes);
        _status = NewStatus(0);
        _telemetry = new EngineTelemetry(() => _status);
        _thread = new Thread(Run) { IsBackground = true, Name = "IlgpuSparse engine" };
        _thread.Start();
    }

    /// <summary>What it is doing, as of its last step.</summary>
    public EngineStatus Status => _status;

    /// <summary>Takes a request.</summary>
    /// <param name="request">What to continue.</param>
    /// <param name="cancellation">Ends the text before its next step.</param>
    /// <exception cref="ArgumentException">The prompt is empty or does not fit the cache, an id is outside the vocabulary, or options are outside their ranges.</exception>
    /// <exception cref="EngineBusyException">Too many wait already, or the engine is stopping.</exception>
    public GenerationTicket Submit(GenerationRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        int capacity = _decoder.Cache.Capacity, prompt = request.Prompt.Count;
        if (prompt == 0) throw new ArgumentException("a prompt needs at least one token", nameof(request));
        if (prompt > capacity) throw new ArgumentException($"the prompt of {prompt:N0} tokens does not fit the context of {capacity:N0}", nameof(request));
        ArgumentOutOfRangeException.ThrowIfNegative(request.Options.MaxTokens, nameof(request));
        foreach (int id in request.Prompt)
            if ((uint)id >= (uint)_decoder.Config.VocabularySize) throw new ArgumentException($"token id {id} is outside the vocabulary of {_decoder.Config.VocabularySize}", nameof(request));
        int limit = (int)Math.Min((long)prompt + Math.Max(0, request.Options.MaxTokens - 1), capacity); // the last token is not appended
        request.Options.Sampling.Validate();
        lock (_gate)
        {
            if (_stopping) throw new EngineBusyException("the engine is stopping and takes no more requests", null);
            if (_waiting.Count >= _options.QueueLimit)
            {
                double wait = Math.Clamp(_usualSeconds * (_waiting.Count + 1) / _slots, 1, 600);
                throw new EngineBusyException($"{_waiting.Count} requests are waiting, which is the limit", TimeSpan.FromSeconds(Math.Ceiling(wait)));
            }
            var ticket = new GenerationTicket(request, cancellation);
            _waiting.AddLast(new ActiveText(ticket, limit, EngineTelemetry.Start(request)));
            Monitor.Pulse(_gate);
            return ticket;
        }
    }

    /// <summary>Refuses new requests from now on and waits for those taken; after <paramref name="grace"/> they are cancelled.</summary>
    public async Task StopAsync(TimeSpan grace)
    {
        lock (_gate) _stopping = true;
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < grace && IsBusy()) await Task.Delay(20).ConfigureAwait(false);
        Dispose();
    }

    private bool IsBusy()
    {
        lock (_gate) return _waiting.Count > 0 || _status.Active > 0;
    }

    private void Run()
    {
        while (WaitForWork())
        {
            try
            {
                DropCancelled();
                Admit();
                PublishStatus();
                Prefill();
                Step();
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                // Whatever failed, it was the step of all of them; what they left in the cache is not trusted.
                EndAlone();
                foreach (var text in _active)
                {
                    text.Text.Sequence.Dispose();
                    text.Finish(FinishReason.Failed, e);
                }
                _active.Clear();
            }
            PublishStatus();
        }
        EndAlone();
        foreach (var text in _active.ToArray()) Cancel(text);
        _active.Clear();
        lock (_gate)
        {
            foreach (var text in _waiting) Cancel(text);
            _waiting.Clear();
        }
        _prefixes.Dispose();
        PublishStatus();
    }

    private bool WaitForWork()
    {
        if (_active.Count > 0)
        {
            lock (_gate) return !_disposed;
        }
        lock (_gate)
        {
            while (_waiting.Count == 0 && !_disposed) Monitor.Wait(_gate);
            return !_disposed;
        }
    }

    private void PublishStatus()
    {
        int waiting;
        lock (_gate) waiting = _waiting.Count;
        _status = NewStatus(waiting);
    }

    private EngineStatus NewStatus(int waiting) =>
        new(_active.Count, waiting, _prefixes.Count, _decoder.Cache.FreeBlocks * Compute.KvLayer.BlockTokens, _decoder.Cache.Capacity, _stopping);

    private void Cancel(ActiveText text)
    {
        if (text.Text is not null) _prefixes.Keep(text.Text);
        text.Finish(FinishReason.Cancelled, new OperationCanceledException(text.Ticket.Cancellation));
    }

    private void DropCancelled()
    {
        for (int i = _active.Count - 1; i >= 0; i--)
        {
            var text = _active[i];
            if (!text.IsCancelled) continue;
            if (_alone?.Text == text) EndAlone();
            _active.RemoveAt(i);
            Cancel(text);
        }
        lock (_gate)
        {
            for (var node = _waiting.First; node is not null;)
            {
                var next = node.Next;
                if (node.Value.IsCancelled)
                {
                    _waiting.Remove(node);
                    Cancel(node.Value);
                }
                node = next;
            }
        }
    }

    // In their order: the first that finds no room waits for it, and the others behind it.
    private void Admit()
    {
        while (_active.Count < _slots)
        {
            ActiveText? text;
            lock (_gate) text = _waiting.First?.Value;
            if (text is null) return;
            text.Text = _prefixes.Take(text.Request.Prompt, text.Request.FullAttention, Running());
            if (!MakeRoom(KvCache.BlocksFor(text.Limit) - text.Text.Sequence.BlocksHeld))
            {
                _prefixes.Keep(text.Text);
                text.Text = null!;
                return;
            }
            lock (_gate) _waiting.RemoveFirst();
            text.Statistics.QueueSeconds = Stopwatch.GetElapsedTime(text.Asked).TotalSeconds;
            text.Statistics.WeightBytesPerToken = _decoder.Weights.BytesReadPerToken;
            EngineTelemetry.Admitted(text.Statistics);
            _active.Add(text);
        }
    }

    private IEnumerable<KeptPrefix> Running() => _active.Select(t => t.Text);

    // Room for so many blocks more beside what the admitted may come to take, at the expense of kept texts.
    private bool MakeRoom(int blocks)
    {
        int promised = _active.Sum(t => KvCache.BlocksFor(t.Limit) - t.Text.Sequence.BlocksHeld);
        if (_decoder.Cache.FreeBlocks + _prefixes.BlocksHeld - promised < blocks) return false;
        while (_decoder.Cache.FreeBlocks - promised < blocks)
            if (!_prefixes.Evict()) return false;
        return true;
    }

    // Prompts in their order, about a chunk in all before the others take their next step.
    private void Prefill()
    {
        int budget = _decoder.Options.PrefillChunk;
        foreach (var text in _active.Where(t => t.IsPrefilling).ToArray())
        {
            if (budget <= 0) return;
            EndAlone();
            if (text.Started == 0) Begin(text);
            int[] prompt = text.Request.Prompt as int[] ?? [.. text.Request.Prompt];
            int from = text.Text.Tokens.Count;
            var chunk = prompt.AsSpan(from, Math.Min(prompt.Length - from, _decoder.Options.PrefillChunk));
            var logits = _decoder.Prefill(text.Text.Sequence, chunk);
            text.Append(chunk, exact: true);
            text.Statistics.PromptTokens += chunk.Length;
            budget -= chunk.Length;
            if (from + chunk.Length < prompt.Length) continue;
            text.IsPrefilling = false;
            text.Statistics.PrefillSeconds = Stopwatch.GetElapsedTime(text.Started).TotalSeconds;
            text.Statistics.FirstTokenSeconds = Stopwatch.GetElapsedTime(text.Asked).TotalSeconds;
            EngineTelemetry.Prefilled(text.Statistics);
            text.Sampler.Observe(prompt);
            Draw(text, logits, null);
        }
    }

    // Others that were admitted with it may have computed its beginning meanwhile.
    private void Begin(ActiveText text)
    {
        text.Started = Stopwatch.GetTimestamp();
        var better = _active.Where(t => t != text).Select(t => t.Text).MaxBy(t => t.Common(text.Request.Prompt, text.Request.FullAttention));
        if (better is not null && better.Common(text.Request.Prompt, text.Request.FullAttention) / Compute.KvLayer.BlockTokens * Compute.KvLayer.BlockTokens is int common && common > text.Text.Tokens.Count)
        {
            text.Text.Sequence.Dispose();
            text.Text = better.Forked(common);
        }
        text.Statistics.ReusedTokens = text.Text.Tokens.Count;
    }

    private void Step()
    {
        var texts = _active.Where(t => !t.IsPrefilling).ToList();
        if (texts.Count == 0) return;
        if (_active.Count == 1 && CanQueue(texts[0]))
        {
            StepAlone(texts[0]);
            return;
        }
        EndAlone();
        foreach (bool dense in (ReadOnlySpan<bool>)[false, true])
        {
            var group = texts.Where(t => IsDense(t) == dense).ToList();
            if (group.Count > 0) Step(group, dense);
        }
    }

    // By its own length, where short contexts stay dense: what others it shares a step with must not matter.
    private bool IsDense(ActiveText text) => text.Request.FullAttention || text.Text.Tokens.Count + 1 <= _decoder.Options.Attention.DenseBelow;

    private void Step(List<ActiveText> group, bool dense)
    {
        long start = Stopwatch.GetTimestamp();
        _tracer.Begin(Enumerable.Range(0, group.Count).Where(i => group[i].Request.TraceAttention));
        var logits = _decoder.Decode(group.ConvertAll(t => t.Text.Sequence), CollectionsMarshal.AsSpan(group.ConvertAll(t => t.Next)), dense);
        _tracer.End();
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        EngineTelemetry.Stepped(seconds, group.Count);
        int vocabulary = _decoder.Config.VocabularySize;
        for (int i = 0; i < group.Count; i++)
        {
            var text = group[i];
            Count(text, seconds, dense);
            Draw(text, logits.Slice(i * vocabulary, vocabulary), _tracer.Take(i, text.Text.Tokens.Count - 1));
        }
    }

    private bool CanQueue(ActiveText text) => _decoder.QueuesSteps && text.Request is { FullAttention: false, TraceAttention: false, TopLogProbabilities: null, Options.Sampling.RepetitionPenalty: 1 };

    // A text that has the device for itself, where steps can follow one another without the host.
    private void StepAlone(ActiveText text)
    {
        if (_alone?.Text != text)
        {
            EndAlone();
            _alone = (text, _decoder.Queue(text.Text.Sequence, text.Next, text.Request.Options.Sampling, text.Drawn, text.Request.Options.MaxTokens - text.Statistics.NewTokens));
        }
        long start = Stopwatch.GetTimestamp();
        int token = _alone.Value.Steps.Next();
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        EngineTelemetry.Stepped(seconds, 1);
        Count(text, seconds, dense: false);
        Accept(text, new GeneratedToken(token, null, [], null));
    }

    private void EndAlone()
    {
        if (_alone is not { } alone) return;
        _alone = null;
        alone.Steps.Dispose();
        alone.Text.Sampler.SkipTo(alone.Text.Drawn);
    }

    private void Count(ActiveText text, double seconds, bool dense)
    {
        int position = text.Text.Tokens.Count;
        text.Append([text.Next], dense || _decoder.Options.Attention.Kind == Attention.AttentionKind.Dense);
        var s = text.Statistics;
        s.DecodeSeconds += seconds;
        s.DecodeSteps++;
        s.KernelsPerStep = _decoder.StepNodes;
        s.CacheBytesRead += dense ? _decoder.DenseBytesRead(position) : _decoder.Policy.BytesRead(position);
        s.DenseBytesRead += _decoder.DenseBytesRead(position);
    }

    private void Draw(ActiveText text, ReadOnlySpan<float> logits, AttentionTrace? trace)
    {
        if (text.Request.Options.MaxTokens == 0)
        {
            Finish(text, FinishReason.Length);
            return;
        }
        int token = text.Sampler.Next(logits);
        if (text.Request.TopLogProbabilities is not int count) Accept(text, new GeneratedToken(token, null, [], trace));
        else
        {
            var (own, likely) = TokenLogProbability.Of(logits, token, count);
            Accept(text, new GeneratedToken(token, own, likely, trace));
        }
    }

    private void Accept(ActiveText text, GeneratedToken token)
    {
        text.Drawn++;
        if (text.Request.Options.StopIds.Contains(token.Id))
        {
            Finish(text, FinishReason.Stop);
            return;
        }
        text.Next = token.Id;
        text.Statistics.NewTokens++;
        bool last = text.Statistics.NewTokens == text.Request.Options.MaxTokens || text.Text.Tokens.Count == text.Limit;
        if (last) EndAloneOf(text);
        text.Ticket.Add(token);
        if (last) Finish(text, FinishReason.Length);
    }

    private void Finish(ActiveText text, FinishReason reason)
    {
        EndAloneOf(text);
        _active.Remove(text);
        double took = Stopwatch.GetElapsedTime(text.Asked).TotalSeconds - text.Statistics.QueueSeconds;
        lock (_gate) _usualSeconds += 0.1 * (took - _usualSeconds);
        _prefixes.Keep(text.Text);
        text.Finish(reason);
    }

    private void EndAloneOf(ActiveText text)
    {
        if (_alone?.Text == text) EndAlone();
    }

    /// <summary>Cancels what is in progress and ends the thread; the decoder stays.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _stopping = _disposed = true;
            Monitor.Pulse(_gate);
        }
        if (Thread.CurrentThread != _thread) _thread.Join();
        _telemetry.Dispose();
    }
}
