using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Evaluation;

/// <summary>
/// Looks at attention inside the decoder, step by step and layer by layer: which share of the true attention weights the tokens hold that were read, how many of them belong to the true best, and how far the output lies from that
/// of full attention with the same query. The true scores are those of the oracle's labels.
/// </summary>
internal sealed class AttentionProbe : IDisposable
{
    private readonly ComputeBackend _backend;
    private readonly LlamaConfig _config;
    private readonly KvCache _cache;
    private readonly AttentionShape _shape;
    private readonly DoubleSparsityPolicy _truth;
    private readonly DeviceBuffer _dense;
    private readonly StepBatch _row;
    private readonly float[] _scores;
    private readonly float[] _ranked;
    private readonly float[] _y;
    private readonly float[] _expected;
    private int _samples;
    private double _mass, _best, _error, _read;

    /// <summary>Allocates.</summary>
    public AttentionProbe(ComputeBackend backend, LlamaConfig config, KvCache cache)
    {
        (_backend, _config, _cache) = (backend, config, cache);
        _shape = new AttentionShape(config.Heads, config.KvHeads, config.HeadDim, config.SlidingWindow);
        _truth = OraclePolicy.Create(backend, config, cache, AttentionOptions.Oracle, new DecoderOptions { Capacity = cache.Capacity });
        _dense = backend.Allocate((long)config.Heads * config.HeadDim * sizeof(float), "scratch");
        _row = new StepBatch(backend, 1, 1, cache.Blocks);
        _scores = new float[config.Heads * cache.Capacity];
        _ranked = new float[cache.Capacity];
        _y = new float[config.Heads * config.HeadDim];
        _expected = new float[config.Heads * config.HeadDim];
    }

    /// <summary>The rows of the next step that it looks at.</summary>
    public IReadOnlyList<int> Rows { get; set; } = [];

    /// <summary>Whether it looks at the next step.</summary>
    public bool IsLooking => Rows.Count > 0;

    /// <summary>Takes note of the keys.</summary>
    public void Append(int layer, StepBatch batch, DeviceSpan k) => _truth.Append(layer, batch, k);

    /// <summary>Compares the <see cref="Rows"/> of a step that gave <paramref name="y"/> by reading <paramref name="sets"/>, null for every token.</summary>
    public void Look(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y, TokenSets? sets)
    {
        foreach (int row in Rows)
        {
            _row.SetDecode([batch.HostPositions[row]], [batch.HostBlocks(row).ToArray()]);
            Look(layer, row, q.SkipFloats((long)row * _y.Length), y.SkipFloats((long)row * _y.Length), sets);
        }
    }

    private void Look(int layer, int row, DeviceSpan q, DeviceSpan y, TokenSets? sets)
    {
        y.Download(_y.AsSpan());
        _backend.Attend(_shape, _cache.Layers[layer], _row, q, _dense);
        ((DeviceSpan)_dense).Download(_expected.AsSpan());
        double difference = 0, norm = 0;
        for (int i = 0; i < _y.Length; i++)
        {
            difference += Math.Pow(_y[i] - _expected[i], 2);
            norm += Math.Pow(_expected[i], 2);
        }
        _samples++;
        _error += norm > 0 ? Math.Sqrt(difference / norm) : 0;
        if (sets is null)
        {
            _mass++;
            _best++;
            _read++;
            return;
        }
        _truth.Select(layer, _row, q);
        ((DeviceSpan)_truth.Scores.Buffer).Download(_scores.AsSpan());
        int[][] lists = sets.ToLists(row, 1);
        int position = _row.HostPositions[0], first = _shape.FirstVisible(position), visible = position + 1 - first;
        for (int head = 0; head < _config.Heads; head++)
        {
            int[] chosen = lists[head / (_config.Heads / sets.Sets)];
            var weights = _scores.AsSpan(head * _truth.Scores.Capacity + first, visible);
            HostProduct.Softmax(weights);
            weights.CopyTo(_ranked);
            float least = Largest(_ranked.AsSpan(0, visible), chosen.Length);
            double held = 0;
            int best = 0;
            foreach (int token in chosen)
            {
                held += weights[token - first];
                if (weights[token - first] >= least) best++;
            }
            _mass += Math.Min(1, held) / _config.Heads;
            // equals of the last one may be more than there is room for
            _best += (double)Math.Min(best, chosen.Length) / chosen.Length / _config.Heads;
            _read += (double)chosen.Length / visible / _config.Heads;
        }
    }

    /// <summary>Means of what was seen since the last call; null when nothing was.</summary>
    public AttentionFidelity? Take()
    {
        var result = _samples == 0 ? null : new AttentionFidelity(_samples, _mass / _samples, _best / _samples, _error / _samples, _read / _samples);
        _samples = 0;
        _mass = _best = _error = _read = 0;
        return result;
    }

    /// <summary>The <paramref name="rank"/>-th largest of <paramref name="values"/>, counted from 1; they are reordered (Hoare's selection).</summary>
    internal static float Largest(Span<float> values, int rank)
    {
        int low = 0, high = values.Length - 1, wanted = rank - 1;
        while (low < high)
        {
            float pivot = values[low + (high - low) / 2];
            int i = low, j = high;
            while (i <= j)
            {
                while (values[i] > pivot) i++;
                while (values[j] < pivot) j--;
                if (i > j) break;
                (values[i], values[j]) = (values[j], values[i]);
                i++;
                j--;
            }
            if (wanted <= j) high = j;
            else if (wanted >= i) low = i;
            else break;
        }
        return values[wanted];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _truth.Dispose();
        _dense.Dispose();
        _row.Dispose();
    }
}
