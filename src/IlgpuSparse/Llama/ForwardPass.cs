using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Llama;

/// <summary>The rows of a batch through all layers, up to their logits: the activations, and what is called in which order. Allocates everything beforehand.</summary>
internal sealed class ForwardPass : IDisposable
{
    /// <summary>Rows whose logits are computed at a time.</summary>
    public const int LogitRows = 16;

    private readonly ComputeBackend _backend;
    private readonly LlamaWeights _weights;
    private readonly KvCache _cache;
    private readonly AttentionPolicy _policy;
    private readonly StepBatch _batch;
    private readonly AttentionShape _shape;
    private readonly RopeTable _rope;
    private readonly List<DeviceBuffer> _scratch = [];
    private readonly DeviceBuffer _x, _normed, _q, _k, _v, _attended, _gate, _up;
    private readonly DeviceBuffer? _router, _predicted;
    private readonly float[] _hostLogits;

    /// <summary>Allocates for passes of up to <paramref name="maxRows"/> rows of <paramref name="batch"/>.</summary>
    /// <exception cref="InsufficientMemoryException">The device has not that much.</exception>
    public ForwardPass(ComputeBackend backend, LlamaWeights weights, DecoderOptions options, KvCache cache, AttentionPolicy policy, StepBatch batch, int maxRows)
    {
        (_backend, _weights, _cache, _policy, _batch) = (backend, weights, cache, policy, batch);
        var c = weights.Config;
        _shape = new AttentionShape(c.Heads, c.KvHeads, c.HeadDim, c.SlidingWindow);
        try
        {
            _rope = new RopeTable(backend, c);
            Ids = Scratch(maxRows, 1);
            _x = Scratch(maxRows, c.HiddenSize);
            _normed = Scratch(maxRows, c.HiddenSize);
            _q = Scratch(maxRows, c.Heads * c.HeadDim);
            _k = Scratch(maxRows, c.KvHeads * c.HeadDim);
            _v = Scratch(maxRows, c.KvHeads * c.HeadDim);
            _attended = Scratch(maxRows, c.Heads * c.HeadDim);
            _gate = Scratch(maxRows, c.Experts > 0 ? 1 : c.IntermediateSize);
            _up = Scratch(maxRows, c.Experts > 0 ? 1 : c.IntermediateSize);
            _router = c.Experts > 0 ? Scratch(maxRows, c.Experts) : null;
            if (Predicts(options)) _predicted = Scratch(options.MaxSequences, c.Heads * c.HeadDim);
            Logits = Scratch(MaxLogitRows(options), c.VocabularySize);
            _hostLogits = new float[MaxLogitRows(options) * c.VocabularySize];
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Token ids of the rows, int32.</summary>
    public DeviceBuffer Ids { get; }

    /// <summary>What <see cref="Project"/> leaves, <c>[row, vocabulary]</c>.</summary>
    public DeviceBuffer Logits { get; }

    /// <summary>See <see cref="LlamaDecoder.Observer"/>.</summary>
    public Action<int, StepBatch, DeviceSpan, DeviceSpan>? Observer { get; set; }

    /// <summary>See <see cref="LlamaDecoder.Attended"/>.</summary>
    public Action<int, StepBatch, DeviceSpan, DeviceSpan>? Attended { get; set; }

    /// <summary>Bytes that a pass allocates.</summary>
    public static long Bytes(LlamaConfig c, DecoderOptions options, int maxRows) =>
        sizeof(float) * (maxRows * RowFloats(c) + (long)MaxLogitRows(options) * c.VocabularySize + c.HeadDim / 2 + (Predicts(options) ? (long)options.MaxSequences * c.Heads * c.HeadDim : 0));

    /// <summary>Floats of activations a token.</summary>
    public static long RowFloats(LlamaConfig c) =>
        1 + 2L * c.HiddenSize + 2L * c.Heads * c.HeadDim + 2L * c.KvHeads * c.HeadDim + 2L * (c.Experts > 0 ? 1 : c.IntermediateSize) + c.Experts;

    /// <summary>From the ids to the residual of the last layer, for the batch.</summary>
    public void Run()
    {
        var c = _weights.Config;
        int rows = _batch.Rows;
        _backend.Embed(_weights.Embedding, Ids, rows, _x);
        for (int i = 0; i < c.Layers; i++)
        {
            var w = _weights.Layers[i];
            if (_predicted is not null && !_batch.IsPrefill && _policy.Predicts(i + 1, _batch)) Predict(i + 1);
            _backend.Qkv(w.Qkv, new NormedInput(_x, w.InputNorm, c.NormEpsilon, _normed), _rope, _shape, _cache.Layers[i], _batch, _q, _k, _v);
            Observer?.Invoke(i, _batch, _q, _k);
            if (_batch.IsDense)
            {
                _policy.Append(i, _batch, _k);
                _policy.Observe(i, _batch, _q);
                _backend.Attend(_shape, _cache.Layers[i], _batch, _q, _attended);
            }
            else _policy.AppendAndAttend(i, _batch, _k, _q, _attended);
            if (!_batch.IsPrefill) Attended?.Invoke(i, _batch, _q, _attended);
            _backend.MatMul(w.O, _attended, rows, _x, w.OBias, accumulate: true);

            if (w.Experts is { } experts)
            {
                _backend.RmsNorm(_x, w.MlpNorm, c.NormEpsilon, rows, _normed);
                _backend.MatMul(w.Router!, _normed, rows, _router!);
                _backend.ExpertMlp(experts, _normed, rows, _router!, _x);
                continue;
            }
            _backend.GateUp(w.GateUp, new NormedInput(_x, w.MlpNorm, c.NormEpsilon, _normed), rows, _gate, _up);
            _backend.MatMul(w.Down!, _gate, rows, _x, w.DownBias, accumulate: true);
        }
    }

    // The query that a layer would have if the one before it changed nothing.
    private void Predict(int layer)
    {
        var w = _weights.Layers[layer];
        _backend.NormMatMul(w.Qkv.Q, new NormedInput(_x, w.InputNorm, _weights.Config.NormEpsilon, _normed), _batch.Rows, _predicted!, w.Qkv.QBias);
        _backend.Rope(_rope, _batch, _weights.Config.Heads, _predicted!);
        _policy.Predict(layer, _batch, _predicted!);
    }

    /// <summary>Logits of <paramref name="count"/> rows from <paramref name="first"/> on of the last <see cref="Run"/>, on the device.</summary>
    public void Project(int first, int count)
    {
        var c = _weights.Config;
        var x = ((DeviceSpan)_x).SkipFloats((long)first * c.HiddenSize);
        _backend.NormMatMul(_weights.Output, new NormedInput(x, _weights.Norm, c.NormEpsilon, _normed), count, Logits);
    }

    /// <summary>Brings the first <paramref name="rows"/> of the projected logits to the host: <c>[row, vocabulary]</c>, valid until the next call.</summary>
    public ReadOnlyMemory<float> Download(int rows)
    {
        var logits = _hostLogits.AsMemory(0, rows * _weights.Config.VocabularySize);
        ((DeviceSpan)Logits).Download(logits.Span);
        return logits;
    }

    private static bool Predicts(DecoderOptions options) => options.KvPrediction != KvPrediction.Off;

    private static int MaxLogitRows(DecoderOptions options) => Math.Max(LogitRows, options.MaxSequences);

    private DeviceBuffer Scratch(int rows, int width)
    {
        var buffer = _backend.Allocate((long)rows * width * sizeof(float), "scratch");
        _scratch.Add(buffer);
        return buffer;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var buffer in _scratch) buffer.Dispose();
        _rope?.Dispose();
    }
}
