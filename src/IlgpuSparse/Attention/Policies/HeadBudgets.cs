using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>A rule's budget as one channel map deals it out to layers and kv heads (<see cref="TokenSplit"/>): on the host, and on the device for the selections of a step.</summary>
internal sealed class HeadBudgets : IDisposable
{
    private readonly LlamaConfig _config;
    private readonly ChannelMap _map;
    private readonly int _first, _lists, _sets, _capacity;
    private readonly DeviceBuffer?[] _factors;
    private SelectionRule[][] _rules = [];
    private SelectionRule? _dealt;

    /// <summary>Allocates for steps of <paramref name="rows"/> over a cache of <paramref name="capacity"/> tokens.</summary>
    public HeadBudgets(ComputeBackend backend, LlamaConfig config, AttentionOptions options, ChannelMap map, int rows, int capacity)
    {
        (_config, _map, _capacity) = (config, map, capacity);
        _first = Math.Min(options.DenseLayers, config.Layers);
        _sets = options.SetsOf(config);
        _lists = rows * _sets;
        _factors = new DeviceBuffer?[config.Layers];
        try
        {
            for (int layer = _first; layer < config.Layers; layer++) _factors[layer] = backend.Allocate((long)_lists * sizeof(int), "labels");
            Deal(options.Rule);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Bytes for the steps of <paramref name="decoder"/>.</summary>
    public static long Bytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder) =>
        options.HeadBudgets ? (long)Math.Max(0, config.Layers - options.DenseLayers) * decoder.MaxSequences * options.SetsOf(config) * sizeof(int) : 0;

    /// <summary>The rule of a sparse layer's <paramref name="kvHead"/>.</summary>
    public SelectionRule this[int layer, int kvHead] => _rules[layer - _first][kvHead];

    /// <summary><see cref="TokenSets.Factors"/> of a sparse layer.</summary>
    public DeviceBuffer Factors(int layer) => _factors[layer]!;

    /// <summary>Deals <paramref name="rule"/> out, unless it is the last one. A number of tokens counts as the share that it is of the whole cache.</summary>
    public void Deal(SelectionRule rule)
    {
        if (_dealt == rule) return;
        _dealt = rule;
        double share = Math.Min(1, rule.Numerator > 0 ? (double)rule.Numerator / rule.Denominator : (double)rule.MinTokens / _capacity);
        int[][] units = TokenSplit.Deal(_map, share, _first);
        _rules = [.. units.Select(heads => heads.Select(rule.Scale).ToArray())];
        for (int layer = 0; layer < units.Length; layer++)
        {
            int[] heads = units[layer], factors = [.. Enumerable.Range(0, _lists).Select(list => heads[list % _sets * _config.KvHeads / _sets])];
            ((DeviceSpan)_factors[_first + layer]!).Upload<int>(factors);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var factors in _factors) factors?.Dispose();
    }
}
