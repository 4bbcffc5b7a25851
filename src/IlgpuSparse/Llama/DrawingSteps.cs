using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Generation;
using IlgpuSparse.Model;

namespace IlgpuSparse.Llama;

/// <summary>
/// Decode steps of one sequence that draw the next token on the device and leave it there for the step that follows. One <see cref="StepQueue"/> at a time asks for them; whatever else uses the ids and positions on the
/// device takes them from it (<see cref="Interrupt"/>).
/// </summary>
internal sealed class DrawingSteps : IDisposable
{
    private readonly ComputeBackend _backend;
    private readonly LlamaConfig _config;
    private readonly KvCache _cache;
    private readonly AttentionPolicy _policy;
    private readonly StepBatch _batch;
    private readonly ForwardPass _pass;
    private readonly RecordedSteps _recorded;
    private readonly Action _step;
    private SamplingOptions? _sampling;
    private StepQueue? _queue;
    private (int GridLength, int Mode) _kind;

    /// <summary>Steps through <paramref name="pass"/>, of <paramref name="batch"/>, kept in <paramref name="recorded"/> where the backend records them.</summary>
    public DrawingSteps(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionPolicy policy, StepBatch batch, ForwardPass pass, RecordedSteps recorded)
    {
        (_backend, _config, _cache, _policy, _batch, _pass, _recorded) = (backend, config, cache, policy, batch, pass, recorded);
        _step = Step;
        Feedback = new TokenFeedback(backend);
    }

    /// <summary>Where steps leave their tokens.</summary>
    public TokenFeedback Feedback { get; }

    /// <summary>Tokens that the cache holds.</summary>
    public int Capacity => _cache.Capacity;

    /// <summary>Gives the device to <paramref name="queue"/>, whose next step appends <paramref name="token"/>.</summary>
    public void Begin(StepQueue queue, int token, int drawn)
    {
        Interrupt();
        _queue = queue;
        ((DeviceSpan)_pass.Ids).Upload<int>([token]);
        ((DeviceSpan)Feedback.Draws).Upload<int>([drawn]);
    }

    /// <summary>Ends <paramref name="queue"/>.</summary>
    public void End(StepQueue queue)
    {
        if (_queue == queue) Interrupt();
    }

    /// <summary>Takes the device from the queue that has it.</summary>
    public void Interrupt()
    {
        var queue = _queue;
        _queue = null;
        queue?.Discard();
    }

    /// <summary>
    /// Asks for the next step of the queue that <see cref="Begin"/> named, at <paramref name="position"/>, unless it differs from the steps before it in how it is computed; it may then
    /// allocate, and has to be <paramref name="alone"/>.
    /// </summary>
    public bool TryStep(int position, int[][] blocks, SamplingOptions sampling, bool alone)
    {
        _batch.SetDecode([position], blocks);
        var kind = (_batch.GridLength, _policy.Mode(_batch));
        if (!alone && kind != _kind) return false;
        _kind = kind;
        _cache.Prepare(_batch);
        _sampling = sampling;
        _recorded.Run(_batch, _kind.Mode, sampling, _cache.Layout(_batch), _step);
        _batch.NoteAdvanced();
        return true;
    }

    // From the ids to those of the next step: nothing here needs the host.
    private void Step()
    {
        _pass.Run();
        _pass.Project(0, _batch.Rows);
        _backend.Sample(_pass.Logits, _batch.Rows, _config.VocabularySize, _sampling!, Feedback.Draws, _pass.Ids);
        _backend.FeedBack(_batch, _pass.Ids, Feedback.History, TokenFeedback.Slots);
    }

    public void Dispose() => Feedback.Dispose();
}
