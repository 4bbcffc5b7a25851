using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>What a channel map makes of the labels of one layer: the tables of a <see cref="LabelLayer"/>, and for rotated labels the projections of keys and queries.</summary>
internal sealed class LabelTables
{
    private readonly AttentionOptions _options;
    private readonly int[] _indices;
    private readonly float[]? _offsets, _steps, _quantiserSteps;
    private readonly int[]? _planes;
    private readonly List<float[]>[]? _keys, _queries;

    /// <summary>Builds the tables of <paramref name="layer"/>.</summary>
    public LabelTables(LlamaConfig config, AttentionOptions options, ChannelMap map, int layer)
    {
        int size = config.KvHeads * options.Channels;
        _options = options;
        _indices = new int[size];
        if (HasScales(options)) (_offsets, _steps) = (new float[size], new float[size]);
        if (options.Label != LabelKind.Channels) (_planes, _quantiserSteps) = (new int[size], new float[size]);
        if (options.Label == LabelKind.Rotated)
        {
            _keys = new List<float[]>[config.KvHeads];
            _queries = new List<float[]>[config.KvHeads];
            Outputs = OutputsOf(config, options, map, layer);
        }
        for (int head = 0; head < config.KvHeads; head++)
        {
            if (options.Label == LabelKind.Channels) FillChannels(config, map[layer, head], layer, head);
            else FillPlanes(config, map[layer, head], head);
        }
    }

    /// <summary>Numbers a head after projection; 0 without one.</summary>
    public int Outputs { get; }

    /// <summary>The table bytes of a layer.</summary>
    public static long Bytes(LlamaConfig config, AttentionOptions options, ChannelMap? map, int layer)
    {
        int tables = options.Label != LabelKind.Channels ? 5 : HasScales(options) ? 3 : 1;
        int padded = new HeadProjection(null!, config.KvHeads, config.HeadDim, 0).PaddedInputs;
        return (long)config.KvHeads * sizeof(float) * (tables * options.Channels + 2L * padded * OutputsOf(config, options, map, layer));
    }

    /// <summary>Numbers a head after projection in <paramref name="layer"/>: the directions that any of its kv heads has bits for, a multiple of 16; without a map the most there can be.</summary>
    public static int OutputsOf(LlamaConfig config, AttentionOptions options, ChannelMap? map, int layer)
    {
        if (options.Label != LabelKind.Rotated) return 0;
        int used = map is not { HasBases: true }
            ? Math.Min(BasisFit.MostDirections, config.HeadDim) : Enumerable.Range(0, config.KvHeads).Max(h => map[layer, h].Allocate(LabelKind.Rotated, options.Channels).Count(b => b > 0));
        return (used + 15) / 16 * 16;
    }

    /// <summary>A label layer over <paramref name="codes"/>, with the scales of tokens where labels have such.</summary>
    public LabelLayer CreateLayer(ComputeBackend backend, DeviceBuffer codes, DeviceBuffer? tokenScales)
    {
        var tables = new List<DeviceBuffer>();
        DeviceBuffer? Own<T>(T[]? values) where T : unmanaged
        {
            if (values is null) return null;
            tables.Add(Table(backend, values));
            return tables[^1];
        }
        try
        {
            return new LabelLayer
            {
                Format = _options.LabelFormat,
                Scaling = _options.Scaling,
                Channels = _options.Channels,
                ChannelIndices = Own(_indices)!,
                Offsets = Own(_offsets),
                Steps = Own(_steps),
                Planes = Own(_planes),
                QuantiserSteps = Own(_quantiserSteps),
                Codes = codes,
                TokenScales = tokenScales,
            };
        }
        catch
        {
            foreach (var table in tables) table.Dispose();
            throw;
        }
    }

    /// <summary>The projections of keys and queries; null without.</summary>
    public (HeadProjection Keys, HeadProjection Queries)? CreateProjections(ComputeBackend backend, int headDim)
    {
        if (_keys is null) return null;
        var keys = HeadProjection.Create(backend, _keys, headDim, Outputs);
        try
        {
            return (keys, HeadProjection.Create(backend, _queries!, headDim, Outputs));
        }
        catch
        {
            keys.Dispose();
            throw;
        }
    }

    private static bool HasScales(AttentionOptions options) => options.Scaling == LabelScaling.Static && options.LabelFormat != LabelFormat.F16;

    private void FillChannels(LlamaConfig config, HeadChannels channels, int layer, int head)
    {
        int r = _options.Channels;
        IReadOnlyList<int> ranking = channels.Ranking;
        if (_options.RandomChannels)
        {
            int[] drawn = [.. Enumerable.Range(0, config.HeadDim)];
            // a stream of its own for every head, the same in every run
            new Random(layer * config.KvHeads + head).Shuffle(drawn);
            ranking = drawn;
        }
        for (int i = 0; i < r; i++)
        {
            int c = ranking[i];
            _indices[head * r + i] = c;
            if (_offsets is null) continue;
            _offsets[head * r + i] = channels.Mean![c];
            // A channel that never varied carries nothing: any positive step keeps its code finite.
            _steps![head * r + i] = Math.Max(channels.Deviation![c], 1e-6f) * _options.LabelFormat.GaussianStep();
        }
    }

    private void FillPlanes(LlamaConfig config, HeadChannels channels, int head)
    {
        var codes = channels.Codes(_options.Label);
        int[] bits = channels.Allocate(_options.Label, _options.Channels);
        // scores are scaled by the projected size, logits by the head's
        float scale = Outputs > 0 ? MathF.Sqrt((float)Outputs / config.HeadDim) : 1;
        int at = head * _options.Channels, output = 0;
        if (_keys is not null) (_keys[head], _queries![head]) = ([], []);
        for (int c = 0; c < bits.Length; c++)
        {
            if (bits[c] == 0) continue;
            for (int plane = 0; plane < bits[c]; plane++, at++)
            {
                _indices[at] = _keys is null ? c : output;
                _offsets![at] = codes.Offset(c);
                _quantiserSteps![at] = codes.Step(c, bits[c]);
                _steps![at] = _quantiserSteps[at] * (1 << plane) * scale;
                _planes![at] = bits[c] | plane << 8;
            }
            output++;
            if (_keys is null) continue;
            _keys[head].Add(channels.Basis!.Key(c));
            _queries![head].Add(channels.Basis.Query(c));
        }
    }

    private static DeviceBuffer Table<T>(ComputeBackend backend, T[] values) where T : unmanaged
    {
        var buffer = backend.Allocate((long)values.Length * sizeof(int), "labels");
        ((DeviceSpan)buffer).Upload<T>(values);
        return buffer;
    }
}
