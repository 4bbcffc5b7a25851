using System.Globalization;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention;

/// <summary>
/// The attention of decode steps as one string can say it: <c>dense</c>, or <c>double-sparsity:tokens=1/16,top-p=0.95,min-tokens=64,channels=64,bits=2,sinks=4,window=64,dense-layers=2,dense-below=512,scaling=static,sets=group,reduce=max,mean-value=on</c>
/// (every part may be left out), or one of the methods that <see cref="AttentionMethod"/> lists, with the settings it takes.
/// </summary>
public sealed record AttentionOptions
{
    /// <summary>Full attention.</summary>
    public static readonly AttentionOptions Dense = new();

    /// <summary>Double Sparsity with the defaults: 1/16 of the tokens by labels of 64 channels × 2 bits with static scales (128 bits a token and kv head).</summary>
    public static readonly AttentionOptions DoubleSparsity = new() { Kind = AttentionKind.DoubleSparsity };

    /// <summary>The true top-k of every query head.</summary>
    public static readonly AttentionOptions Oracle = new() { Kind = AttentionKind.Oracle, SetPerQueryHead = true, LabelFormat = LabelFormat.F16 };

    /// <summary>StreamingLLM: four sinks, and the rest of the budget as a window.</summary>
    public static readonly AttentionOptions Streaming = new() { Kind = AttentionKind.Streaming, Rule = new SelectionRule(1, 16, 1, Sinks: 4) };

    /// <summary>Quest with pages of 16 tokens.</summary>
    public static readonly AttentionOptions Quest = new() { Kind = AttentionKind.Quest, SetPerQueryHead = true };

    /// <summary>SparQ by eight channels.</summary>
    public static readonly AttentionOptions Sparq = new() { Kind = AttentionKind.Sparq, Channels = 8, MeanValue = true };

    /// <summary>Double Sparsity as published: 32 channels a layer, 4 bits with scales a token, a set a query head.</summary>
    public static readonly AttentionOptions PublishedDoubleSparsity = new()
    {
        Kind = AttentionKind.PublishedDoubleSparsity,
        Channels = 32,
        LabelFormat = LabelFormat.Int4,
        Scaling = LabelScaling.PerToken,
        SetPerQueryHead = true,
    };

    /// <summary>H2O: half of the budget by attention, half the last tokens.</summary>
    public static readonly AttentionOptions H2o = new() { Kind = AttentionKind.H2o };

    /// <summary>Loki by 32 principal components.</summary>
    public static readonly AttentionOptions Loki = new() { Kind = AttentionKind.Loki, Channels = 32, SetPerQueryHead = true };

    /// <summary><see cref="Drift"/> where nothing is said.</summary>
    private const float StandardDrift = 0.11f;

    /// <summary>What stands for <see cref="Online"/> where the path of a map would.</summary>
    private const string OnlineName = "online";

    /// <summary>Most bits of mixed and rotated labels: what a score kernel takes as one.</summary>
    private const int MostLabelBits = 128;

    /// <summary>Method.</summary>
    public AttentionKind Kind { get; init; }

    /// <summary>Budget: a fraction of the visible tokens, or a number of tokens; fewer where they hold enough of the estimated mass.</summary>
    public SelectionRule Rule { get; init; } = new(1, 16, 1);

    /// <summary>Channels a label, r.</summary>
    public int Channels { get; init; } = 64;

    /// <summary>Bits a channel.</summary>
    public LabelFormat LabelFormat { get; init; } = LabelFormat.Int2;

    /// <summary>What the bits of a label are of. Mixed and rotated labels are bit planes: <see cref="LabelFormat.Int1"/>, <see cref="Channels"/> the bits together.</summary>
    public LabelKind Label { get; init; }

    /// <summary>Scales of the labels.</summary>
    public LabelScaling Scaling { get; init; } = LabelScaling.Static;

    /// <summary>One token set a query head (the paper) instead of one a kv head.</summary>
    public bool SetPerQueryHead { get; init; }

    /// <summary>Labels of channels drawn at random instead of the calibrated ones: the control that says what calibration buys.</summary>
    public bool RandomChannels { get; init; }

    /// <summary>Tokens a page, of <see cref="AttentionKind.Quest"/>.</summary>
    public int PageTokens { get; init; } = 16;

    /// <summary>Whether positions count inside what <see cref="AttentionKind.Streaming"/> keeps, as published, instead of in the text.</summary>
    public bool PositionsInCache { get; init; }

    /// <summary>Whether every text has a channel map of its own, made from its prompt (<c>map=online</c>), instead of <see cref="DecoderOptions.Channels"/>.</summary>
    public bool Online { get; init; }

    /// <summary>With <see cref="Online"/>: the drift, from 0 to 1, beyond which a text's map is made anew and its labels with it; 1 for never.</summary>
    public float Drift { get; init; } = StandardDrift;

    /// <summary>With <see cref="Online"/>: path of a channel map whose channels count in every text as much as it says, for what a prompt does not show. Null for none.</summary>
    public string? PriorPath { get; init; }

    /// <summary>A channel map of its own, instead of <see cref="DecoderOptions.Channels"/>: path of a file in our format or the authors'. Null for none.</summary>
    public string? MapPath { get; init; }

    /// <summary>Principal components of the keys, of <see cref="AttentionKind.Loki"/>: path of a file that 'ilgpusparse calibrate --components' wrote. Null for none.</summary>
    public string? ComponentsPath { get; init; }

    /// <summary>Sets a row, of a model.</summary>
    internal int SetsOf(LlamaConfig config) => SetPerQueryHead ? config.Heads : config.KvHeads;

    /// <summary>Most tokens that a set may have of <paramref name="visible"/>.</summary>
    internal int MostTokens(int visible) => (HeadBudgets ? Rule.Scale(TokenSplit.Most) : Rule).Budget(visible);

    /// <summary>How the scores of a group become one.</summary>
    public GroupReduction Reduction { get; init; } = GroupReduction.Max;

    /// <summary>Whether what was not selected stands in by the mean of V, weighted by its estimated share of the mass.</summary>
    public bool MeanValue { get; init; }

    /// <summary>Whether kv heads have budgets of their own, of the same mean, as <see cref="TokenSplit"/> deals them out.</summary>
    public bool HeadBudgets { get; init; }

    /// <summary>First layers that stay dense.</summary>
    public int DenseLayers { get; init; }

    /// <summary>Sequences up to this many tokens are attended densely.</summary>
    public int DenseBelow { get; init; }

    /// <summary>Whether labels are made of calibrated channels, so that a decoder needs <see cref="DecoderOptions.Channels"/>.</summary>
    public bool NeedsChannels => Kind is AttentionKind.DoubleSparsity or AttentionKind.PublishedDoubleSparsity && MapPath is null && !Online;

    /// <summary>
    /// The same for a model without a channel map: labels of Double Sparsity come from the texts (<see cref="Online"/>), and where they are the standard ones, as many bits are dealt out to channels by what each is worth, which keeps
    /// more of what a prompt says little about. Other methods cannot do without a map.
    /// </summary>
    public AttentionOptions WithOwnMaps()
    {
        if (Kind != AttentionKind.DoubleSparsity || !NeedsChannels) return this;
        bool standard = (Label, Channels, LabelFormat, Scaling, RandomChannels) == (DoubleSparsity.Label, DoubleSparsity.Channels, DoubleSparsity.LabelFormat, DoubleSparsity.Scaling, DoubleSparsity.RandomChannels);
        return standard ? this with { Online = true, Label = LabelKind.Mixed, LabelFormat = LabelFormat.Int1, Channels = Channels * LabelFormat.Bits() } : this with { Online = true };
    }

    /// <summary>Reads the string form.</summary>
    /// <exception cref="FormatException">Unknown method, key or value; the message lists what there is.</exception>
    public static AttentionOptions Parse(string text)
    {
        var (method, rest) = text.IndexOf(':') is >= 0 and int colon ? (text[..colon], text[(colon + 1)..]) : (text, "");
        var known = AttentionMethod.Find(method);
        if (known.Settings.Count == 0 && rest.Length > 0) throw new FormatException($"'{method}' takes no settings, got '{rest}'");
        var options = known.Defaults;
        int sinks = options.Rule.Sinks, window = 1, floor = 0;
        int? labelBits = null;
        string? uniform = null;
        string? ofOnline = null;
        float topP = 1, temperature = 1;
        foreach (string part in rest.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            string[] pair = part.Split('=', 2);
            string value = pair.Length == 2 ? pair[1] : throw new FormatException($"'{part}' should be key=value");
            if (!known.Settings.Contains(pair[0])) throw new FormatException($"unknown setting '{pair[0]}' of {method}; there are: {string.Join(", ", known.Settings)}");
            if (pair[0] is "channels" or "bits" or "order" or "scaling") uniform = part;
            switch (pair[0])
            {
                case "tokens": options = options with { Rule = ParseBudget(value) }; break;
                case "top-p": topP = Share(part, value); break;
                case "temperature": temperature = Temperature(part, value); break;
                case "min-tokens": floor = Number(part, value, 1, 1 << 30); break;
                case "channels": options = options with { Channels = Number(part, value, 1, 256) }; break;
                case "label": options = options with { Label = Choice(part, value, ("channels", LabelKind.Channels), ("mixed", LabelKind.Mixed), ("rotated", LabelKind.Rotated)) }; break;
                case "label-bits": labelBits = Number(part, value, 8, MostLabelBits); break;
                case "bits":
                    options = options with
                    {
                        LabelFormat = value switch
                        {
                            "1" => LabelFormat.Int1,
                            "2" => LabelFormat.Int2,
                            "4" => LabelFormat.Int4,
                            "8" => LabelFormat.Int8,
                            "16" => LabelFormat.F16,
                            _ => throw new FormatException($"bits={value}: labels have 1, 2, 4, 8 or 16 bits a channel"),
                        },
                    };
                    break;
                case "scaling":
                    options = options with { Scaling = Choice(part, value, ("static", LabelScaling.Static), ("token", LabelScaling.PerToken)) };
                    break;
                case "sets": options = options with { SetPerQueryHead = Choice(part, value, ("group", false), ("head", true)) }; break;
                case "reduce": options = options with { Reduction = Choice(part, value, ("max", GroupReduction.Max), ("sum", GroupReduction.Sum)) }; break;
                case "mean-value": options = options with { MeanValue = Choice(part, value, ("off", false), ("on", true)) }; break;
                case "budgets": options = options with { HeadBudgets = Choice(part, value, ("uniform", false), ("head", true)) }; break;
                case "sinks": sinks = Number(part, value, 0, 1 << 20); break;
                case "window": window = Number(part, value, 1, 1 << 20); break;
                case "dense-layers": options = options with { DenseLayers = Number(part, value, 0, 1 << 10) }; break;
                case "dense-below": options = options with { DenseBelow = Number(part, value, 0, int.MaxValue) }; break;
                case "order": options = options with { RandomChannels = Choice(part, value, ("calibrated", false), ("random", true)) }; break;
                case "page": options = options with { PageTokens = Number(part, value, 1, KvLayer.BlockTokens) }; break;
                case "positions": options = options with { PositionsInCache = Choice(part, value, ("text", false), ("cache", true)) }; break;
                case "map" when value == OnlineName:
                    options = options.Kind == AttentionKind.DoubleSparsity ? options with { Online = true, MapPath = null } : throw new FormatException($"{part}: {method} takes the path of a map");
                    break;
                case "map": options = options with { MapPath = value.Length > 0 ? value : throw new FormatException($"{part}: expected the path of a channel map{(options.Kind == AttentionKind.DoubleSparsity ? $", or {OnlineName}" : "")}"), Online = false }; break;
                case "prior":
                    ofOnline = part;
                    options = options with { PriorPath = value.Length > 0 ? value : throw new FormatException($"{part}: expected the path of a channel map") };
                    break;
                case "drift":
                    ofOnline = part;
                    options = options with { Drift = value == "off" ? 1 : Share(part, value) };
                    break;
                case "components": options = options with { ComponentsPath = value.Length > 0 ? value : throw new FormatException($"{part}: expected the path of principal components") }; break;
                case "r": options = options with { Channels = Number(part, value, 1, 256) }; break;
                default: throw new InvalidOperationException($"{method} lists the setting '{pair[0]}', which nothing reads");
            }
        }
        if (ofOnline is not null && !options.Online) throw new FormatException($"{ofOnline} needs map={OnlineName}: other maps stay as they are");
        if (options.Label != LabelKind.Channels)
        {
            if (uniform is not null) throw new FormatException($"{uniform} is of labels of channels with as many bits each; label=mixed and label=rotated take label-bits");
            options = options with { LabelFormat = LabelFormat.Int1, Channels = labelBits ?? MostLabelBits };
        }
        else if (labelBits is not null) throw new FormatException($"label-bits={labelBits} needs label=mixed or label=rotated; with label=channels there are channels and bits");
        if (options.Rule.Numerator == 0 && floor > options.Rule.MinTokens) throw new FormatException($"min-tokens={floor} is more than tokens={options.Rule.MinTokens}");
        return options with { Rule = options.Rule with { Sinks = sinks, Recent = window, TopP = topP, Floor = floor, Temperature = temperature } };
    }

    /// <summary>The string form, every setting that differs from the defaults said.</summary>
    public override string ToString()
    {
        var method = AttentionMethod.Of(Kind);
        if (method.Settings.Count == 0) return method.Name;
        var standard = method.Defaults;
        string tokens = Rule.Numerator > 0 ? $"{Rule.Numerator}/{Rule.Denominator}" : Rule.MinTokens.ToString(CultureInfo.InvariantCulture);
        string text = $"{method.Name}:tokens={tokens}";
        if (Kind == AttentionKind.DoubleSparsity) text += Label == LabelKind.Channels ? $",channels={Channels},bits={LabelFormat.Bits()}" : $",label={Label.ToString().ToLowerInvariant()},label-bits={Channels}";
        if (Kind == AttentionKind.PublishedDoubleSparsity) text += $",channels={Channels},bits={LabelFormat.Bits()}";
        if (Kind is AttentionKind.Sparq or AttentionKind.Loki) text += $",r={Channels}";
        if (Kind == AttentionKind.Quest) text += $",page={PageTokens}";
        if (RandomChannels) text += ",order=random";
        if (Rule.TopP < 1) text += string.Create(CultureInfo.InvariantCulture, $",top-p={Rule.TopP}");
        if (Rule.Temperature != 1) text += string.Create(CultureInfo.InvariantCulture, $",temperature={Rule.Temperature}");
        if (Rule.Floor > 0) text += $",min-tokens={Rule.Floor}";
        if (Scaling != standard.Scaling) text += ",scaling=token";
        if (SetPerQueryHead != standard.SetPerQueryHead) text += SetPerQueryHead ? ",sets=head" : ",sets=group";
        if (Reduction != standard.Reduction) text += ",reduce=sum";
        if (MeanValue != standard.MeanValue) text += MeanValue ? ",mean-value=on" : ",mean-value=off";
        if (HeadBudgets) text += ",budgets=head";
        if (Rule.Sinks != standard.Rule.Sinks) text += $",sinks={Rule.Sinks}";
        if (Rule.Recent > 1) text += $",window={Rule.Recent}";
        if (DenseLayers > 0) text += $",dense-layers={DenseLayers}";
        if (DenseBelow > 0) text += $",dense-below={DenseBelow}";
        if (PositionsInCache) text += ",positions=cache";
        if (MapPath is not null) text += $",map={MapPath}";
        if (Online) text += $",map={OnlineName}";
        if (PriorPath is not null) text += $",prior={PriorPath}";
        if (Drift != StandardDrift) text += Drift < 1 ? string.Create(CultureInfo.InvariantCulture, $",drift={Drift}") : ",drift=off";
        if (ComponentsPath is not null) text += $",components={ComponentsPath}";
        return text;
    }

    /// <summary>Whether <paramref name="other"/> scores by the same labels.</summary>
    internal bool HasLabelsOf(AttentionOptions other) =>
        (Label, Channels, LabelFormat, Scaling, Reduction, SetPerQueryHead) == (other.Label, other.Channels, other.LabelFormat, other.Scaling, other.Reduction, other.SetPerQueryHead);

    /// <summary>Bytes that the policy keeps a cached token over all layers, before it is made: what the memory plan counts.</summary>
    internal long AuxiliaryBytesPerToken(LlamaConfig config) => AttentionMethod.Of(Kind).AuxiliaryBytesPerToken(config, this);

    /// <summary>Bytes that the policy's labels and scratch take for a decoder with <paramref name="options"/>.</summary>
    internal long PlannedBytes(LlamaConfig config, DecoderOptions options) => AttentionMethod.Of(Kind).PlannedBytes(config, this, options);

    /// <summary>Token lists a step's row, and the room of each, over a cache of <paramref name="capacity"/> tokens; none for full attention.</summary>
    internal (int Sets, int Capacity) Selection(LlamaConfig config, int capacity) => AttentionMethod.Of(Kind).Selection(config, this, capacity);

    internal AttentionPolicy Create(ComputeBackend backend, LlamaConfig config, KvCache cache, DecoderOptions options) => AttentionMethod.Of(Kind).Create(backend, config, cache, this, options);

    private static SelectionRule ParseBudget(string value)
    {
        string[] parts = value.Split('/');
        if (parts.Length == 2 && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int n)
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int d) && n > 0 && d >= n && d <= 1 << 20) return new SelectionRule(n, d, 1);
        if (parts.Length == 1 && int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int tokens) && tokens > 0) return new SelectionRule(0, 1, tokens);
        throw new FormatException($"tokens={value}: the budget is a fraction from 1/{1 << 20} to 1/1, or a positive number of tokens");
    }

    private static float Share(string part, string value) =>
        float.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out float share) && share >= 1f / 65536 && share <= 1
            ? share : throw new FormatException($"{part}: expected a share of the attention mass from {1f / 65536} to 1, such as 0.95");

    private static float Temperature(string part, string value) =>
        float.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out float factor) && factor >= 0.01f && factor <= 100
            ? factor : throw new FormatException($"{part}: expected a factor of the scores from 0.01 to 100, such as 1.2");

    private static int Number(string part, string value, int least, int most) =>
        int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int n) && n >= least && n <= most
            ? n : throw new FormatException($"{part}: expected a whole number from {least} to {most}");

    private static T Choice<T>(string part, string value, params (string Name, T Value)[] choices)
    {
        foreach (var (name, result) in choices)
            if (name == value) return result;
        throw new FormatException($"{part}: expected one of {string.Join(", ", choices.Select(c => c.Name))}");
    }
}
