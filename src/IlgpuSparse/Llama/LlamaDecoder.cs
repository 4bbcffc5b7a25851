using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Generation;
using IlgpuSparse.Model;

namespace IlgpuSparse.Llama;

/// <summary>
/// A Llama decoder on one backend: dense, chunked prefill of a sequence, and decode steps of one token for each of several sequences through the chosen attention.
/// It owns the caches and all scratch memory; a step allocates no device memory.
/// </summary>
public sealed class LlamaDecoder : IDisposable
{
    /// <summary>What marks recordings of dense steps, beside the modes of the policy.</summary>
    private const int DenseMode = -1;

    private readonly ComputeBackend _backend;
    private readonly LlamaWeights _weights;
    private readonly AttentionShape _shape;
    private readonly StepBatch _batch;
    private readonly ForwardPass _pass;
    private readonly RecordedSteps _steps;
    private readonly DrawingSteps _drawing;
    private readonly Action _step;

    /// <summary>Allocates caches and scratch for <paramref name="options"/>.</summary>
    /// <exception cref="ArgumentException">Options that contradict the model.</exception>
    /// <exception cref="InsufficientMemoryException">The device has not that much.</exception>
    public LlamaDecoder(ComputeBackend backend, LlamaWeights weights, DecoderOptions options)
        : this(backend, weights, options, (cache, resolved) => resolved.Attention.Create(backend, weights.Config, cache, resolved)) { }

    /// <summary>As the other, with an attention of one's own: what <paramref name="createPolicy"/> makes of the cache and the options. The decoder disposes it.</summary>
    public LlamaDecoder(ComputeBackend backend, LlamaWeights weights, DecoderOptions options, Func<KvCache, DecoderOptions, AttentionPolicy> createPolicy)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Capacity, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(options.PrefillChunk, nameof(options));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxSequences, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(options.HotTokens, nameof(options));
        if (!(options.KvLateLeast is >= 0 and <= 1024)) throw new ArgumentException($"{options.KvLateLeast}: rows are fetched late from 0 to 1024 times the average mass on", nameof(options));
        if (!(options.KvLeastRecall is >= 0 and <= 1)) throw new ArgumentException($"{options.KvLeastRecall}: the least share that a prediction holds is from 0 to 1", nameof(options));
        options = options.Resolve(backend, weights.Config);
        _backend = backend;
        _weights = weights;
        Options = options;
        var c = weights.Config;
        _shape = new AttentionShape(c.Heads, c.KvHeads, c.HeadDim, c.SlidingWindow);
        int maxRows = MaxRows(options);
        _steps = new RecordedSteps(backend);
        _step = Step;
        try
        {
            backend.ReserveWorkingMemory(c, weights.Formats, maxRows);
            var host = options.KvPlacement == KvPlacement.Host ? new HostKvCache(backend, c, options) : null;
            Cache = host ?? new KvCache(backend, c, options.KvFormat, options.Capacity);
            Policy = createPolicy(Cache, options);
            if (Policy.Selection is { } sets) host?.Reserve(sets);
            QueuesSteps = backend.Records && Policy.IsRecordable;
            _batch = new StepBatch(backend, maxRows, options.MaxSequences, Cache.Blocks);
            _pass = new ForwardPass(backend, weights, options, Cache, Policy, _batch, maxRows);
            _drawing = new DrawingSteps(backend, c, Cache, Policy, _batch, _pass, _steps);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>What it was built with.</summary>
    public DecoderOptions Options { get; }

    /// <summary>Shapes and constants of the model.</summary>
    public LlamaConfig Config => _weights.Config;

    /// <summary>The weights.</summary>
    public LlamaWeights Weights => _weights;

    /// <summary>The backend.</summary>
    public ComputeBackend Backend => _backend;

    /// <summary>K and V.</summary>
    public KvCache Cache { get; private set; } = null!;

    /// <summary>The attention of decode steps.</summary>
    public AttentionPolicy Policy { get; private set; } = null!;

    /// <summary>Kernels and copies of a decode step, where the backend records them; 0 before one was recorded.</summary>
    public int StepNodes => _steps.Nodes;

    /// <summary><see cref="ComputeBackend.PreparationSeconds"/> and <see cref="AttentionPolicy.CalibrationSeconds"/>.</summary>
    internal double PreparationSeconds => _backend.PreparationSeconds + Policy.CalibrationSeconds;

    /// <summary>Whether <see cref="Queue"/> is the faster way to generate: where steps are recorded.</summary>
    internal bool QueuesSteps { get; set; }

    /// <summary>
    /// Called with every layer's queries <c>[row, head, headDim]</c> and keys <c>[row, kvHead, headDim]</c> after RoPE: what calibration gathers.
    /// </summary>
    internal Action<int, StepBatch, DeviceSpan, DeviceSpan>? Observer
    {
        get => _pass.Observer;
        set => _pass.Observer = value;
    }

    /// <summary>
    /// Called after the attention of every layer of a decode step with the queries and what attention gave, both <c>[row, head, headDim]</c>; <see cref="AttentionPolicy.SetsOf"/> then tells what was read. Such steps are not recorded.
    /// </summary>
    internal Action<int, StepBatch, DeviceSpan, DeviceSpan>? Attended
    {
        get => _pass.Attended;
        set => _pass.Attended = value;
    }

    /// <summary>Scratch bytes that a decoder with these options allocates (activations, logits and step tables), caches and policies not counted.</summary>
    internal static long ScratchBytes(LlamaConfig c, DecoderOptions options)
    {
        long blocks = KvCache.BlocksFor(options.Capacity);
        return ForwardPass.Bytes(c, options, MaxRows(options)) + sizeof(float) * (MaxRows(options) + options.MaxSequences * blocks + TokenFeedback.Slots + 1);
    }

    /// <summary>Rows of the largest pass.</summary>
    internal static int MaxRows(DecoderOptions options) => Math.Max(options.PrefillChunk, options.MaxSequences);

    /// <summary>Bytes of K and V that a dense step at <paramref name="position"/> reads over all layers: what densities are measured against.</summary>
    public long DenseBytesRead(int position) => (position + 1L - _shape.FirstVisible(position)) * KvCache.BytesPerToken(Config, Options.KvFormat);

    /// <summary>Starts an empty sequence in the cache; dispose it to free its blocks.</summary>
    public CacheSequence NewSequence() => Cache.NewSequence();

    /// <summary>
    /// Appends <paramref name="tokens"/> to <paramref name="sequence"/> with dense causal attention, in chunks, and returns the logits <c>[vocabulary]</c> after the last one. The span is
    /// valid until the next call.
    /// </summary>
    /// <param name="sequence">A sequence of this decoder.</param>
    /// <param name="tokens">At least one token.</param>
    /// <param name="progress">Told the number of tokens done after each chunk.</param>
    /// <param name="cancellation">Looked at between chunks; the sequence then holds the chunks that were finished.</param>
    /// <exception cref="ArgumentException">No tokens, or an id outside the vocabulary.</exception>
    /// <exception cref="InvalidOperationException">The cache is full.</exception>
    public ReadOnlySpan<float> Prefill(CacheSequence sequence, ReadOnlySpan<int> tokens, Action<int>? progress = null, CancellationToken cancellation = default)
    {
        int last = 0;
        ForEachChunk(sequence, tokens, rows => last = rows - 1, progress, cancellation);
        return Logits(last, 1).Span;
    }

    /// <summary>As <see cref="Prefill"/>, but hands the logits of every position to <paramref name="visit"/>: (index in <paramref name="tokens"/>, logits).</summary>
    public void PrefillAll(CacheSequence sequence, ReadOnlySpan<int> tokens, Action<int, ReadOnlyMemory<float>> visit, CancellationToken cancellation = default)
    {
        int done = 0;
        ForEachChunk(sequence, tokens, rows =>
        {
            for (int row = 0; row < rows; row += ForwardPass.LogitRows)
            {
                int count = Math.Min(ForwardPass.LogitRows, rows - row);
                var logits = Logits(row, count);
                for (int i = 0; i < count; i++) visit(done + row + i, logits.Slice(i * Config.VocabularySize, Config.VocabularySize));
            }
            done += rows;
        }, null, cancellation);
    }

    /// <summary>
    /// One step: appends <paramref name="tokens"/>[i] to <paramref name="sequences"/>[i] through the chosen attention and returns the logits <c>[sequence, vocabulary]</c>, valid until
    /// the next call.
    /// </summary>
    /// <param name="sequences">Different sequences of this decoder.</param>
    /// <param name="tokens">A token for each.</param>
    /// <param name="dense">Attend to every token in this step, whatever the policy; labels are kept all the same.</param>
    /// <exception cref="ArgumentException">More sequences than <see cref="DecoderOptions.MaxSequences"/>, a repeated sequence, or an id outside the vocabulary.</exception>
    /// <exception cref="InvalidOperationException">The cache is full.</exception>
    public ReadOnlySpan<float> Decode(IReadOnlyList<CacheSequence> sequences, ReadOnlySpan<int> tokens, bool dense = false)
    {
        if (sequences.Count == 0 || sequences.Count != tokens.Length || sequences.Count > Options.MaxSequences)
            throw new ArgumentException($"{sequences.Count} sequences and {tokens.Length} tokens; a step takes 1 to {Options.MaxSequences} of each", nameof(sequences));
        CheckIds(tokens);
        _drawing.Interrupt();
        Span<int> positions = stackalloc int[tokens.Length];
        var blocks = new int[tokens.Length][];
        for (int i = 0; i < tokens.Length; i++)
        {
            for (int j = 0; j < i; j++)
                if (ReferenceEquals(sequences[i], sequences[j])) throw new ArgumentException($"sequences {j} and {i} are the same", nameof(sequences));
            positions[i] = sequences[i].Length;
            sequences[i].Reserve(positions[i] + 1);
            blocks[i] = sequences[i].Blocks;
        }
        _batch.SetDecode(positions, blocks, dense);
        Cache.Prepare(_batch);
        ((DeviceSpan)_pass.Ids).Upload(tokens);
        if (Policy.IsRecordable && Attended is null) _steps.Run(_batch, dense ? DenseMode : Policy.Mode(_batch), null, Cache.Layout(_batch), _step);
        else Step();
        if (_backend.Records) _batch.NoteAdvanced();
        foreach (var sequence in sequences) sequence.Advance(1);
        return _pass.Download(tokens.Length).Span;
    }

    /// <summary>
    /// As <see cref="Decode"/> of one token of <paramref name="tokens"/> after the other, where all are known beforehand: the logits <c>[token, vocabulary]</c> after each. They pass through a layer together, each
    /// attending as it would alone to the tokens up to itself, whose keys and values are in the cache by then: what attention does with a token depends on nothing later. The numbers differ by rounding alone.
    /// </summary>
    /// <exception cref="ArgumentException">No tokens, more than <see cref="DecoderOptions.MaxSequences"/>, an id outside the vocabulary, or several of them and a policy that <see cref="AttentionPolicy.TakesRuns">takes one at a time</see>.</exception>
    /// <exception cref="InvalidOperationException">The cache is full.</exception>
    internal ReadOnlySpan<float> DecodeRun(CacheSequence sequence, ReadOnlySpan<int> tokens)
    {
        if (tokens.IsEmpty || tokens.Length > Options.MaxSequences || tokens.Length > 1 && !Policy.TakesRuns)
            throw new ArgumentException($"{tokens.Length} tokens: a run has 1 to {(Policy.TakesRuns ? Options.MaxSequences : 1)}", nameof(tokens));
        if (tokens.Length == 1) return Decode([sequence], tokens);
        CheckIds(tokens);
        _drawing.Interrupt();
        sequence.Reserve(sequence.Length + tokens.Length);
        _batch.SetRun(sequence.Length, tokens.Length, sequence.Blocks);
        Cache.Prepare(_batch);
        ((DeviceSpan)_pass.Ids).Upload(tokens);
        Step();
        if (_backend.Records) _batch.NoteAdvanced();
        sequence.Advance(tokens.Length);
        return _pass.Download(tokens.Length).Span;
    }

    /// <summary>Steps of <paramref name="sequence"/> that follow one another on the device; see <see cref="StepQueue(DrawingSteps, CacheSequence, int, SamplingOptions, int, int)"/>.</summary>
    internal StepQueue Queue(CacheSequence sequence, int token, SamplingOptions sampling, int drawn, int steps)
    {
        sampling.ValidateWithoutText();
        CheckIds([token]);
        return new StepQueue(_drawing, sequence, token, sampling, drawn, steps);
    }

    private void ForEachChunk(CacheSequence sequence, ReadOnlySpan<int> tokens, Action<int> finished, Action<int>? progress, CancellationToken cancellation)
    {
        if (tokens.IsEmpty) throw new ArgumentException("a prompt needs at least one token", nameof(tokens));
        CheckIds(tokens);
        _drawing.Interrupt();
        for (int start = 0; start < tokens.Length; start += Options.PrefillChunk)
        {
            cancellation.ThrowIfCancellationRequested();
            var chunk = tokens.Slice(start, Math.Min(Options.PrefillChunk, tokens.Length - start));
            sequence.Reserve(sequence.Length + chunk.Length);
            _batch.SetPrefill(sequence.Length, chunk.Length, sequence.Blocks);
            Cache.Prepare(_batch);
            ((DeviceSpan)_pass.Ids).Upload(chunk);
            _pass.Run();
            sequence.Advance(chunk.Length);
            finished(chunk.Length);
            progress?.Invoke(start + chunk.Length);
        }
    }

    // A decode step from the ids to the logits: nothing here depends on lengths that only the host knows.
    private void Step()
    {
        _pass.Run();
        _pass.Project(0, _batch.Rows);
        if (_backend.Records) _backend.AdvancePositions(_batch);
    }

    // Logits of rows of the last pass.
    private ReadOnlyMemory<float> Logits(int first, int count)
    {
        _pass.Project(first, count);
        return _pass.Download(count);
    }

    private void CheckIds(ReadOnlySpan<int> tokens)
    {
        foreach (int id in tokens)
            if ((uint)id >= (uint)Config.VocabularySize) throw new ArgumentException($"token id {id} is outside the vocabulary of {Config.VocabularySize}", nameof(tokens));
    }

    /// <summary>Frees caches and scratch; the weights stay.</summary>
    public void Dispose()
    {
        _drawing?.Interrupt();
        _backend.Settle(); // steps that nobody waited for
        _steps.Dispose();
        _drawing?.Dispose();
        _pass?.Dispose();
        _batch?.Dispose();
        Policy?.Dispose();
        Cache?.Dispose();
    }
}
