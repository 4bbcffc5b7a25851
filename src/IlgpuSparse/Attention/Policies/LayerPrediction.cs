using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;

namespace IlgpuSparse.Attention.Policies;

/// <summary>Which layers of a decoder are known a layer ahead, and the sets of tokens that were predicted for two of them in turn: the one that is computed and the next.</summary>
internal sealed class LayerPrediction : IDisposable
{
    // Where budgets are compared.
    private const int Length = 1 << 16;

    private readonly KvPrediction _kind;
    private readonly int _leastBudget;
    private readonly bool[] _predictable;
    private readonly TokenSets?[] _sets = new TokenSets?[2];

    /// <summary>
    /// Predicts layers of which calibration found enough a layer ahead, all but the first where it did not look. Trusted are sets of labels that it judged, and as large at least: the fewer the tokens, the more each
    /// of those that were not foreseen weighs. A least recall of 0 trusts all the same.
    /// </summary>
    /// <param name="decoder">What is predicted for, and from which recall on.</param>
    /// <param name="layers">Layers of the model.</param>
    /// <param name="options">The labels.</param>
    /// <param name="judged">What calibration knows of the layers.</param>
    public LayerPrediction(DecoderOptions decoder, int layers, AttentionOptions options, PredictionRecall? judged)
    {
        (_kind, LateLeast) = (decoder.KvPrediction, decoder.KvLateLeast);
        _predictable = [.. Enumerable.Range(0, layers).Select(layer => layer > 0 && (judged is null || judged.Recall[layer] >= decoder.KvLeastRecall))];
        if (!IsTrusted || judged is null || decoder.KvLeastRecall == 0) return;
        var known = AttentionOptions.Parse(judged.Attention);
        _leastBudget = known.HasLabelsOf(options) ? known.Rule.Budget(Length) : int.MaxValue;
    }

    /// <summary>Whether nothing is predicted.</summary>
    public bool IsOff => _kind == KvPrediction.Off;

    /// <summary>Whether the predicted sets are the ones that are read.</summary>
    public bool IsTrusted => _kind == KvPrediction.Trust;

    /// <summary>Mass of a row, over the average of its list, below which it is left out if it was not predicted.</summary>
    public float LateLeast { get; }

    /// <summary>Whether rows that were not predicted are left out if they weigh little.</summary>
    public bool Drops => LateLeast > 0 && _kind == KvPrediction.Late;

    /// <summary>Makes room for sets.</summary>
    public void Reserve(Func<TokenSets> create)
    {
        for (int i = 0; i < _sets.Length && !IsOff; i++) _sets[i] = create();
    }

    /// <summary>Whether <paramref name="layer"/> is one that is predicted, for sets under <paramref name="rule"/>.</summary>
    public bool Covers(int layer, SelectionRule rule) => !IsOff && layer < _predictable.Length && _predictable[layer] && rule.Budget(Length) >= _leastBudget;

    /// <summary>The sets predicted for <paramref name="layer"/>, a predicted one.</summary>
    public TokenSets Sets(int layer) => _sets[layer & 1]!;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var sets in _sets) sets?.Dispose();
    }
}
