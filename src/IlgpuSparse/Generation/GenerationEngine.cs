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
    private readonly EngineTelemetry _telemetry;
    private readonly AttentionTracer _tracer;
    private readonly PrefixCache _prefixes;
    private readonly RequestQueue _queue;
    private readonly LoneSteps _alone;
    private readonly Thread _thread;
    private readonly List<ActiveText> _active = [];
    private readonly int _slots;
    private volatile EngineStatus _status;

    /// <summary>Starts the thread.</summary>
    /// <param name="decoder">Used by nobody else from now on; disposed by whoever made it, after the engine.</param>
    /// <param name="options">Limits.</param>
    /// <exception cref="ArgumentOutOfRangeException">A negative limit.</exception>
    public GenerationEngine(LlamaDecoder decoder, EngineOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(decoder);
        options ??= new EngineOptions();
        ArgumentOutOfRangeException.ThrowIfNegative(options.QueueLimit, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(options.KeptPrefixes, nameof(options));
        _decoder = decoder;
        _slots = decoder.Options.MaxSequences;
        _tracer = new AttentionTracer(decoder);
        _prefixes = new PrefixCache(decoder.Cache, options.KeptPrefixes);
        _queue = new RequestQueue(options.QueueLimit, _slots);
        _alone = new LoneSteps(decoder);
        _status = NewStatus();
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
        int capacity = _decoder.Cache.Capacity;
        request.Validate(capacity, _decoder.Config.VocabularySize);
        int limit = (int)Math.Min((long)request.Prompt.Count + Math.Max(0, request.Options.MaxTokens - 1), capacity); // the last token is not appended
        return _queue.Add(request, limit, cancellation);
    }

    /// <summary>Refuses new requests from now on and waits for those taken; after <paramref name="grace"/> they are cancelled.</summary>
    public async Task StopAsync(TimeSpan grace)
    {
        _queue.Close();
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < grace && _queue.Open > 0) await Task.Delay(20).ConfigureAwait(false);
        Dispose();
    }

    private void Run()
    {
        while (_active.Count > 0 ? !_queue.HasEnded : _queue.WaitForOne())
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
                _alone.End();
                foreach (var text in _active)
                {
                    text.Text.Sequence.Dispose();
                    End(text, FinishReason.Failed, e);
                }
                _active.Clear();
            }
            PublishStatus();
        }
        _alone.End();
        foreach (var text in _active.ToArray()) Cancel(text);
        _active.Clear();
        foreach (var text in _queue.Take(_ => true)) Cancel(text);
        _prefixes.Dispose();
        PublishStatus();
    }

    private void PublishStatus() => _status = NewStatus();

    private EngineStatus NewStatus() =>
        new(_active.Count, _queue.Count, _prefixes.Count, _decoder.Cache.FreeBlocks * Compute.KvLayer.BlockTokens, _decoder.Cache.Capacity, _queue.IsClosed);

    private void Cancel(ActiveText text)
    {
        if (text.Text is not null) _prefixes.Keep(text.Text);
        End(text, FinishReason.Cancelled, new OperationCanceledException(text.Ticket.Cancellation));
    }

    private void DropCancelled()
    {
        for (int i = _active.Count - 1; i >= 0; i--)
        {
            var text = _active[i];
            if (!text.IsCancelled) continue;
            _alone.EndOf(text);
            _active.RemoveAt(i);
            Cancel(text);
        }
        foreach (var text in _queue.Take(text => text.IsCancelled)) Cancel(text);
    }

    // In their order: the first that finds no room waits for it, and the others behind it.
    private void Admit()
    {
        while (_active.Count < _slots)
        {
            if (_queue.First is not { } text) return;
            text.Text = _prefixes.Take(text.Request.Prompt, text.Request.FullAttention, Running());
            if (!MakeRoom(KvCache.BlocksFor(text.Limit) - text.Text.Sequence.BlocksHeld))
            {
                _prefixes.Keep(text.Text);
                text.Text = null!;
                return;
            }
            _queue.RemoveFirst();
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
            _alone.End();
            if (text.Started == 0) text.Begin(_active);
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

    private void Step()
    {
        var texts = _active.Where(t => !t.IsPrefilling).ToList();
        if (texts.Count == 0) return;
        if (_active.Count == 1 && _alone.CanTake(texts[0]))
        {
            StepAlone(texts[0]);
            return;
        }
        _alone.End();
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

    private void StepAlone(ActiveText text)
    {
        long start = Stopwatch.GetTimestamp();
        int token = _alone.Next(text);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        EngineTelemetry.Stepped(seconds, 1);
        Count(text, seconds, dense: false);
        Accept(text, new GeneratedToken(token, null, [], null));
    }

    private void Count(ActiveText text, double seconds, bool dense)
    {
        int position = text.Text.Tokens.Count;
        text.Append([text.Next], dense || _decoder.Options.Attention.Kind == Attention.AttentionKind.Dense);
        text.Statistics.DecodeSeconds += seconds;
        text.Statistics.CountStep(_decoder, position, dense);
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
        if (last) _alone.EndOf(text);
        text.Ticket.Add(token);
        if (last) Finish(text, FinishReason.Length);
    }

    private void Finish(ActiveText text, FinishReason reason)
    {
        _alone.EndOf(text);
        _active.Remove(text);
        _queue.Took(Stopwatch.GetElapsedTime(text.Asked).TotalSeconds - text.Statistics.QueueSeconds);
        _prefixes.Keep(text.Text);
        End(text, reason);
    }

    private void End(ActiveText text, FinishReason reason, Exception? error = null)
    {
        text.Finish(reason, error);
        _queue.Ended();
    }

    /// <summary>Cancels what is in progress and ends the thread; the decoder stays.</summary>
    public void Dispose()
    {
        _queue.End();
        if (Thread.CurrentThread != _thread) _thread.Join();
        _telemetry.Dispose();
    }
}
