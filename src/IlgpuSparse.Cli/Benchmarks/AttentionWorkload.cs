using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>
/// Several layers' caches with random contents, and the attention part of a decode step on each of them, just as a decoder does it: append K and V, append labels, then what the policy
/// does. Steps on one layer after the other find nothing in the processor's caches once the layers together are larger than those.
/// </summary>
internal sealed class AttentionWorkload : IDisposable
{
    private const int FillTokens = 512;

    private readonly ComputeBackend _backend;
    private readonly RandomPattern _pattern;
    private readonly AttentionConfiguration _configuration;
    private readonly List<CacheSequence> _sequences = [];
    private readonly KvCache _cache;
    private readonly AttentionPolicy? _policy;
    private readonly StepBatch? _step;
    private readonly DeviceBuffer? _y;
    private readonly int[,,] _keyPlaces; // [layer, sequence, chunk] in the pattern
    private readonly int[,,] _valuePlaces;
    private readonly int _queries;
    private readonly int _newKeys;
    private readonly int _newValues;

    /// <summary>Fills <paramref name="layers"/> caches.</summary>
    /// <exception cref="InsufficientMemoryException">They do not fit.</exception>
    public AttentionWorkload(ComputeBackend backend, RandomPattern pattern, AttentionConfiguration configuration, int layers)
    {
        (_backend, _pattern, _configuration, Layers) = (backend, pattern, configuration, layers);
        var layout = configuration.Layout;
        Shape = new AttentionShape(layout.Heads, layout.KvHeads, layout.HeadDim);
        var config = Config(layout, layers, configuration.Context);
        int blocks = KvCache.BlocksFor(configuration.Context);
        _cache = new KvCache(backend, config, configuration.KvFormat, configuration.Batch * blocks * KvLayer.BlockTokens);
        try
        {
            var options = new DecoderOptions
            {
                Capacity = _cache.Capacity,
                KvFormat = configuration.KvFormat,
                Attention = configuration.Attention,
                Channels = RandomChannels.Create(config, pattern),
                MaxSequences = configuration.Batch,
                PrefillChunk = FillTokens,
            };
            _policy = configuration.Attention.Create(backend, config, _cache, options);
            for (int s = 0; s < configuration.Batch; s++)
            {
                _sequences.Add(_cache.NewSequence());
                _sequences[s].Reserve(configuration.Context);
            }
            int chunks = (configuration.Context + FillTokens - 1) / FillTokens;
            _keyPlaces = new int[layers, configuration.Batch, chunks];
            _valuePlaces = new int[layers, configuration.Batch, chunks];
            Fill(blocks);
            _queries = pattern.Draw(QueryFloats);
            _newKeys = pattern.Draw(configuration.Batch * RowFloats);
            _newValues = pattern.Draw(configuration.Batch * RowFloats);
            _y = backend.Allocate(QueryFloats * sizeof(float), "y");
            _step = new StepBatch(backend, configuration.Batch, configuration.Batch, blocks);
            int[] positions = new int[configuration.Batch];
            Array.Fill(positions, configuration.Context - 1);
            _step.SetDecode(positions, [.. _sequences.Select(s => s.Blocks[..blocks])]);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Sizes of the attention.</summary>
    public AttentionShape Shape { get; }

    /// <summary>Caches in rotation.</summary>
    public int Layers { get; }

    /// <summary>K and V.</summary>
    public KvCache Cache => _cache;

    /// <summary>The policy under measurement.</summary>
    public AttentionPolicy Policy => _policy!;

    /// <summary>The step's batch: the last token of every sequence.</summary>
    public StepBatch Batch => _step!;

    /// <summary>Queries <c>[row, head, headDim]</c>.</summary>
    public DeviceSpan Queries => _pattern.Device(_queries);

    /// <summary>Results <c>[row, head, headDim]</c> of the last step.</summary>
    public DeviceBuffer Results => _y!;

    /// <summary>Bytes of K, V and labels that one step on one layer has to read.</summary>
    public long StepBytes => Policy.BytesRead(_configuration.Context - 1) / Layers * _configuration.Batch;

    private int RowFloats => Shape.KvHeads * Shape.HeadDim;

    private int QueryFloats => _configuration.Batch * Shape.Heads * Shape.HeadDim;

    /// <summary>Numbers that a pattern must have for <paramref name="configuration"/>.</summary>
    public static long PatternFloats(AttentionConfiguration configuration) =>
        Math.Max((long)FillTokens, configuration.Batch) * configuration.Layout.Heads * configuration.Layout.HeadDim;

    /// <summary>Bytes that the caches and the policy of <paramref name="layers"/> layers take.</summary>
    public static long PlannedBytes(AttentionConfiguration configuration, int layers)
    {
        var config = Config(configuration.Layout, layers, configuration.Context);
        int capacity = checked(configuration.Batch * KvCache.BlocksFor(configuration.Context) * KvLayer.BlockTokens);
        var options = new DecoderOptions { Capacity = capacity, KvFormat = configuration.KvFormat, Attention = configuration.Attention, MaxSequences = configuration.Batch, PrefillChunk = FillTokens };
        return KvCache.PlannedBytes(config, configuration.KvFormat, capacity) + configuration.Attention.PlannedBytes(config, options);
    }

    /// <summary>The whole step on one layer.</summary>
    public void Step(int layer)
    {
        if (Policy.AppendsRows) Policy.AppendAndAttend(layer, Batch, _pattern.Device(_newKeys), Queries, Results, _pattern.Device(_newValues));
        else StepAfterAppending(layer);
    }

    /// <summary>The whole step, of which nothing but appending K and V comes before it.</summary>
    public void StepAfterAppending(int layer)
    {
        AppendKv(layer);
        Policy.AppendAndAttend(layer, Batch, _pattern.Device(_newKeys), Queries, Results);
    }

    /// <summary>Its first part by itself: K, V and what the policy keeps of the new token, in kernels of their own also where a step writes them beside something else.</summary>
    public void Append(int layer)
    {
        AppendKv(layer);
        Policy.Append(layer, Batch, _pattern.Device(_newKeys));
    }

    private void AppendKv(int layer) => _backend.AppendKv(Shape, _cache.Layers[layer], Batch, _pattern.Device(_newKeys), _pattern.Device(_newValues));

    /// <summary>What was appended as the key of <paramref name="token"/>.</summary>
    public ReadOnlySpan<float> Key(int layer, int sequence, int token, int kvHead) => Row(_keyPlaces, _newKeys, layer, sequence, token, kvHead);

    /// <summary>What was appended as the value of <paramref name="token"/>.</summary>
    public ReadOnlySpan<float> Value(int layer, int sequence, int token, int kvHead) => Row(_valuePlaces, _newValues, layer, sequence, token, kvHead);

    /// <summary>The query of <paramref name="head"/>.</summary>
    public ReadOnlySpan<float> Query(int sequence, int head) => _pattern.Host(_queries + (sequence * Shape.Heads + head) * Shape.HeadDim, Shape.HeadDim);

    private ReadOnlySpan<float> Row(int[,,] places, int newest, int layer, int sequence, int token, int kvHead)
    {
        int start = token == _configuration.Context - 1 ? newest + sequence * RowFloats : places[layer, sequence, token / FillTokens] + token % FillTokens * RowFloats;
        return _pattern.Host(start + kvHead * Shape.HeadDim, Shape.HeadDim);
    }

    // Every token but the last one, which the steps append.
    private void Fill(int blocks)
    {
        int tokens = _configuration.Context - 1;
        using var batch = new StepBatch(_backend, FillTokens, 1, blocks);
        for (int s = 0; s < _configuration.Batch; s++)
        {
            for (int start = 0; start < tokens; start += FillTokens)
            {
                int rows = Math.Min(FillTokens, tokens - start), chunk = start / FillTokens;
                batch.SetPrefill(start, rows, _sequences[s].Blocks.AsSpan(0, blocks));
                for (int layer = 0; layer < Layers; layer++)
                {
                    int k = _keyPlaces[layer, s, chunk] = _pattern.Draw(FillTokens * RowFloats);
                    int v = _valuePlaces[layer, s, chunk] = _pattern.Draw(FillTokens * RowFloats);
                    _backend.AppendKv(Shape, _cache.Layers[layer], batch, _pattern.Device(k), _pattern.Device(v));
                    Policy.Append(layer, batch, _pattern.Device(k));
                }
            }
        }
        _backend.Synchronize();
    }

    private static LlamaConfig Config(HeadLayout layout, int layers, int context) => new()
    {
        ModelType = "llama",
        VocabularySize = 1,
        HiddenSize = layout.Heads * layout.HeadDim,
        IntermediateSize = 1,
        Layers = layers,
        Heads = layout.Heads,
        KvHeads = layout.KvHeads,
        HeadDim = layout.HeadDim,
        MaxContext = context,
        NormEpsilon = 1e-5f,
    };

    /// <inheritdoc/>
    public void Dispose()
    {
        _step?.Dispose();
        _y?.Dispose();
        _policy?.Dispose();
        _cache.Dispose();
    }
}
