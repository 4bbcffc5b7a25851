using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using IlgpuSparse.Attention;
using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Calibration;

/// <summary>
/// The calibrated channels of a model, by layer and kv head, in the order of the model's own RoPE pairing. The whole ranking is kept, and mean and deviation of every channel, so that one
/// map serves labels of any number of channels and bits.
/// </summary>
public sealed class ChannelMap
{
    /// <summary>Version of the file format that is written.</summary>
    public const int Version = 3;

    // Version 1 had no bases and plans, version 2 no held mass.
    private const int OldestVersion = 1;

    private readonly HeadChannels[][] _heads;

    /// <summary>Takes <paramref name="heads"/> <c>[layer][kvHead]</c>.</summary>
    /// <exception cref="ModelFormatException">A ranking is no permutation, a number is not finite, or the layers differ; <paramref name="source"/> is named.</exception>
    public ChannelMap(string source, string statistic, int headDim, RopeStyle ropeStyle, string? fingerprint, HeadChannels[][] heads)
    {
        Source = source;
        Statistic = statistic;
        HeadDim = headDim;
        RopeStyle = ropeStyle;
        Fingerprint = fingerprint;
        _heads = heads;
        Check();
    }

    /// <summary>The file it came from, or how it was made; for messages.</summary>
    public string Source { get; }

    /// <summary>How the channels were ranked: qk, q, k, variance.</summary>
    public string Statistic { get; }

    /// <summary>Channels a head, d.</summary>
    public int HeadDim { get; }

    /// <summary>The pairing that the channel numbers refer to.</summary>
    public RopeStyle RopeStyle { get; }

    /// <summary><see cref="ModelFile.Fingerprint"/> of the model it was made with; null when unknown (the authors' files).</summary>
    public string? Fingerprint { get; }

    /// <summary>Layers.</summary>
    public int Layers => _heads.Length;

    /// <summary>Kv heads a layer.</summary>
    public int KvHeads => _heads[0].Length;

    /// <summary>How well sets are known a layer ahead, by kinds of labels; null when unknown, as in maps of earlier versions of this program.</summary>
    /// <exception cref="ModelFormatException">Set to something else than a share for each layer.</exception>
    public IReadOnlyList<PredictionRecall>? Predictions
    {
        get;
        init
        {
            foreach (var prediction in value ?? [])
            {
                if (prediction?.Recall is not { } recall || prediction.Attention is null || recall.Count != Layers || recall.Any(share => !(share is >= 0 and <= 1)))
                    throw new ModelFormatException(Source, $"has predictions that are not {Layers} shares from 0 to 1");
                try
                {
                    AttentionOptions.Parse(prediction.Attention);
                }
                catch (FormatException e)
                {
                    throw new ModelFormatException(Source, $"has predictions of an unknown attention: {e.Message}", e);
                }
            }
            field = value;
        }
    }

    /// <summary>Whether mean and deviation are known, as static labels need.</summary>
    public bool HasScales => _heads[0][0].Mean is not null;

    /// <summary>Whether the directions of rotated labels are known.</summary>
    public bool HasBases => _heads[0][0].Basis is not null;

    /// <summary>Whether it is known what tokens bring each head, as budgets of heads need.</summary>
    public bool HasHeld => _heads[0][0].Held is not null;

    /// <summary>Channels of one kv head.</summary>
    public HeadChannels this[int layer, int kvHead] => _heads[layer][kvHead];

    /// <summary>Checks that the map has the shape of <paramref name="config"/>.</summary>
    /// <exception cref="ModelFormatException">Other sizes or another channel order.</exception>
    public void CheckFits(LlamaConfig config)
    {
        if (Layers != config.Layers || KvHeads != config.KvHeads || HeadDim != config.HeadDim)
        {
            throw new ModelFormatException(Source, $"is for {Layers} layers, {KvHeads} kv heads of {HeadDim} channels; the model has {config.Layers}, {config.KvHeads} of {config.HeadDim}");
        }
        if (RopeStyle != config.RopeStyle)
            throw new ModelFormatException(Source, $"numbers channels for {RopeStyle} rotary pairs, the model file has {config.RopeStyle} ones: calibrate on this file");
    }

    /// <summary>Checks that the map has what labels and budgets of <paramref name="options"/> are made of.</summary>
    /// <exception cref="ArgumentException">It lacks something.</exception>
    internal void CheckServes(AttentionOptions options)
    {
        if (options.Scaling == LabelScaling.Static && options.LabelFormat != LabelFormat.F16 && !HasScales) throw new ArgumentException("this channel map has no offsets and scales: use scaling=token or bits=16, or calibrate", nameof(options));
        if (options.Label == LabelKind.Rotated && !HasBases) throw new ArgumentException("this channel map has no directions: use label=mixed or label=channels, or calibrate", nameof(options));
        if (options.Label == LabelKind.Mixed && this[0, 0].Scores is null) throw new ArgumentException("this channel map has no scores of its channels: use label=channels, or calibrate", nameof(options));
        if (options.HeadBudgets && !HasHeld) throw new ArgumentException("this channel map does not say what tokens bring each head: use budgets=uniform, or calibrate", nameof(options));
    }

    /// <summary>Checks that the map was made with the model of <paramref name="fingerprint"/>; a map without one fits any model of its shape.</summary>
    /// <exception cref="ModelFormatException">Made with another model.</exception>
    public void CheckModel(string fingerprint)
    {
        if (Fingerprint is not null && Fingerprint != fingerprint)
            throw new ModelFormatException(Source, $"was made with model {Fingerprint}, this one is {fingerprint}: calibrate again");
    }

    /// <summary>Reads a map for <paramref name="config"/> in our format or in that of the Double Sparsity authors, told apart by their first key.</summary>
    /// <exception cref="ModelFormatException">Neither, damaged, or of other sizes.</exception>
    public static ChannelMap Read(string path, LlamaConfig config)
    {
        var head = new byte[256];
        int read;
        using (var stream = File.OpenRead(path)) read = stream.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
        var map = Encoding.UTF8.GetString(head, 0, read).Contains("\"model.layers.", StringComparison.Ordinal) ? AuthorsChannelFile.Load(path, config) : Load(path);
        map.CheckFits(config);
        return map;
    }

    /// <summary>Reads a map that <see cref="Save"/> wrote.</summary>
    /// <exception cref="ModelFormatException">Damaged, or of another version.</exception>
    public static ChannelMap Load(string path)
    {
        ChannelMapJson? json;
        try
        {
            using var stream = File.OpenRead(path);
            json = JsonSerializer.Deserialize(stream, ChannelMapJsonContext.Default.ChannelMapJson);
        }
        catch (JsonException e)
        {
            throw new ModelFormatException(path, "is not a channel map: " + e.Message, e);
        }
        if (json is null) throw new ModelFormatException(path, "is not a channel map: it holds null");
        if (json.Version is < OldestVersion or > Version) throw new ModelFormatException(path, $"is a channel map of version {json.Version}, this program reads versions {OldestVersion} to {Version}");
        if (json.Heads.Length == 0 || json.Heads.Any(l => l is null || l.Length == 0 || l.Any(h => h?.Ranking is null)))
            throw new ModelFormatException(path, "has a layer or head without channels");
        return new ChannelMap(path, json.Statistic, json.HeadDim, json.RopeStyle, json.Fingerprint, json.Heads) { Predictions = json.Predictions };
    }

    /// <summary>The same map of other <paramref name="heads"/>.</summary>
    internal ChannelMap With(HeadChannels[][] heads) => new(Source, Statistic, HeadDim, RopeStyle, Fingerprint, heads) { Predictions = Predictions };

    /// <summary>The same map with other <see cref="Predictions"/>.</summary>
    internal ChannelMap With(IReadOnlyList<PredictionRecall>? predictions) => new(Source, Statistic, HeadDim, RopeStyle, Fingerprint, _heads) { Predictions = predictions };

    /// <summary>How well layers are known a layer ahead by the labels of <paramref name="options"/>; by other labels where these were not measured, and null where none were.</summary>
    internal PredictionRecall? PredictionOf(AttentionOptions options) =>
        Predictions is not { Count: > 0 } known ? null : known.FirstOrDefault(p => AttentionOptions.Parse(p.Attention).HasLabelsOf(options)) ?? known[0];

    /// <summary>Writes the map as JSON. The file appears whole or not at all.</summary>
    public void Save(string path)
    {
        string temporary = path + ".partial";
        using (var stream = File.Create(temporary))
        {
            JsonSerializer.Serialize(stream, new ChannelMapJson
            {
                Version = Version,
                Statistic = Statistic,
                HeadDim = HeadDim,
                RopeStyle = RopeStyle,
                Fingerprint = Fingerprint,
                Predictions = Predictions,
                Heads = _heads,
            }, ChannelMapJsonContext.Default.ChannelMapJson);
        }
        File.Move(temporary, path, overwrite: true);
    }

    private void Check()
    {
        if (HeadDim is < 1 or > 1024) throw new ModelFormatException(Source, $"head size {HeadDim} is outside 1 to 1024");
        if (_heads.Length == 0 || _heads[0].Length == 0) throw new ModelFormatException(Source, "has no layers");
        bool scales = HasScales;
        for (int layer = 0; layer < _heads.Length; layer++)
        {
            if (_heads[layer].Length != KvHeads) throw new ModelFormatException(Source, $"layer {layer} has {_heads[layer].Length} kv heads, layer 0 has {KvHeads}");
            for (int head = 0; head < KvHeads; head++)
            {
                var h = _heads[layer][head];
                string where = $"layer {layer} kv head {head}";
                var seen = new bool[HeadDim];
                foreach (int c in h.Ranking)
                {
                    if ((uint)c >= (uint)HeadDim || seen[c]) throw new ModelFormatException(Source, $"{where}: channel {c} is repeated or outside 0 to {HeadDim - 1}");
                    seen[c] = true;
                }
                if (h.Ranking.Count != HeadDim) throw new ModelFormatException(Source, $"{where} ranks {h.Ranking.Count} channels of {HeadDim}");
                if ((h.Mean is null) == scales || (h.Deviation is null) == scales) throw new ModelFormatException(Source, $"{where}: mean and deviation must be there for all heads or for none");
                foreach (var values in new[] { h.Scores, h.Mean, h.Deviation })
                {
                    if (values is null) continue;
                    if (values.Count != HeadDim || values.Any(v => !float.IsFinite(v))) throw new ModelFormatException(Source, $"{where}: expected {HeadDim} finite numbers");
                }
                if (h.Deviation is { } deviation && deviation.Any(v => v < 0)) throw new ModelFormatException(Source, $"{where}: a deviation is negative");
                if (h.Basis is null == HasBases) throw new ModelFormatException(Source, $"{where}: directions must be there for all heads or for none");
                if (h.Basis is { } basis) Check(basis, where);
                if (h.Held is null == HasHeld) throw new ModelFormatException(Source, $"{where}: held mass must be there for all heads or for none");
                if (h.Held is { } held && (held.Count != TokenSplit.Shares.Count || held.Any(m => !(m is >= 0 and <= 1.001f))))
                    throw new ModelFormatException(Source, $"{where}: held mass must be {TokenSplit.Shares.Count} numbers from 0 to 1");
                foreach (var plan in h.Plans ?? []) Check(plan, h, where);
            }
        }
    }

    private void Check(LabelBasis basis, string where)
    {
        if (basis.Weight is null || basis.Mean is null || basis.Deviation is null || basis.Keys is null || basis.Queries is null) throw new ModelFormatException(Source, $"{where}: the basis lacks a part");
        int count = basis.Mean.Count, bytes = count * HeadDim * 2;
        if (count < 1 || count > HeadDim) throw new ModelFormatException(Source, $"{where}: {count} directions, expected 1 to {HeadDim}");
        foreach (var values in new[] { basis.Weight, basis.Mean, basis.Deviation })
            if (values.Count != count || values.Any(v => !float.IsFinite(v))) throw new ModelFormatException(Source, $"{where}: expected {count} finite numbers for the directions");
        if (basis.Weight.Any(v => v < 0) || basis.Deviation.Any(v => v < 0)) throw new ModelFormatException(Source, $"{where}: a direction's weight or deviation is negative");
        foreach (byte[] rows in new[] { basis.Keys, basis.Queries })
        {
            if (rows.Length != bytes) throw new ModelFormatException(Source, $"{where}: {rows.Length} bytes of directions, expected {bytes}");
            foreach (var x in MemoryMarshal.Cast<byte, Half>(rows))
                if (!Half.IsFinite(x)) throw new ModelFormatException(Source, $"{where}: a direction is not finite");
        }
    }

    private void Check(LabelPlan? plan, HeadChannels head, string where)
    {
        if (plan is null) throw new ModelFormatException(Source, $"{where}: a plan is null");
        int count = plan.Kind switch
        {
            LabelKind.Mixed when head.Scores is not null => HeadDim,
            LabelKind.Rotated when head.Basis is { } basis => basis.Count,
            _ => throw new ModelFormatException(Source, $"{where}: a plan for {plan.Kind} labels, which it has nothing for"),
        };
        if (plan.Allocation is null || plan.Allocation.Count != count || plan.Allocation.Any(b => b is < 0 or > BitAllocation.MostBits) || plan.Allocation.Sum() != plan.Bits)
            throw new ModelFormatException(Source, $"{where}: a plan of {plan.Bits} bits needs {count} numbers from 0 to {BitAllocation.MostBits} with that sum");
    }
}
