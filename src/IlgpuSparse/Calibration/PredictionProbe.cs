using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;

namespace IlgpuSparse.Calibration;

/// <summary>Measures <see cref="PredictionRecall"/>: the last tokens of windows of text pass through a decoder that selects for every layer twice, for the query that the layer before predicts and for its own.</summary>
/// <remarks>The prediction is that of <see cref="KvPrediction"/>: the residual before the layer before, through the layer's own norm, query weights and position.</remarks>
public sealed class PredictionProbe : IDisposable
{
    private readonly LlamaDecoder _decoder;
    private readonly AttentionOptions _attention;
    private readonly long[] _found, _selected;

    /// <summary>Builds the decoder.</summary>
    /// <param name="backend">Where it runs.</param>
    /// <param name="weights">The model.</param>
    /// <param name="map">Its channels.</param>
    /// <param name="attention">Double Sparsity with the labels in question.</param>
    /// <param name="window">Tokens of the longest window.</param>
    /// <exception cref="ArgumentException">Another attention.</exception>
    public PredictionProbe(ComputeBackend backend, LlamaWeights weights, ChannelMap map, AttentionOptions attention, int window)
    {
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentNullException.ThrowIfNull(attention);
        if (attention.Kind != AttentionKind.DoubleSparsity) throw new ArgumentException($"{attention} predicts nothing: recall is of double-sparsity", nameof(attention));
        _attention = attention;
        _decoder = new LlamaDecoder(backend, weights, new DecoderOptions { Capacity = window, Attention = attention, Channels = map, KvPrediction = KvPrediction.Late, KvLeastRecall = 0 });
        _found = new long[weights.Config.Layers];
        _selected = new long[weights.Config.Layers];
        _decoder.Attended = Compare;
    }

    /// <summary>Adds the last <paramref name="steps"/> tokens of <paramref name="window"/>.</summary>
    public void Add(ReadOnlySpan<int> window, int steps, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(steps, window.Length);
        using var sequence = _decoder.NewSequence();
        _decoder.Prefill(sequence, window[..^steps], cancellation: cancellation);
        // one by one: a layer is asked for the tokens before, whose labels have to be there
        for (int token = window.Length - steps; token < window.Length; token++)
        {
            cancellation.ThrowIfCancellationRequested();
            _decoder.Decode([sequence], window.Slice(token, 1));
        }
    }

    /// <summary>What was found.</summary>
    public PredictionRecall Result() => new(_attention.ToString(), [.. _found.Zip(_selected, (found, selected) => selected > 0 ? (float)((double)found / selected) : 0)]);

    private void Compare(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        var policy = (DoubleSparsityPolicy)_decoder.Policy;
        if (policy.PredictedSetsOf(layer, batch) is not { } predicted || policy.SetsOf(layer, batch) is not { } sets) return;
        foreach (var (chosen, ahead) in sets.ToLists(0, batch.Rows).Zip(predicted.ToLists(0, batch.Rows)))
        {
            var known = new HashSet<int>(ahead);
            _found[layer] += chosen.Count(known.Contains);
            _selected[layer] += chosen.Length;
        }
    }

    /// <summary>Frees the decoder; the weights stay.</summary>
    public void Dispose() => _decoder.Dispose();
}
