using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention;

/// <summary>A method of attention by its name: which settings it takes, and how its policy is made. All methods are listed here, and nowhere else.</summary>
internal sealed class AttentionMethod
{
    private static readonly string[] s_common = ["tokens", "sinks", "window", "dense-layers", "dense-below"];
    private static readonly string[] s_ranked = ["top-p", "temperature", "min-tokens", "sets", "reduce", "mean-value", .. s_common];

    private static readonly AttentionMethod[] s_methods =
    [
        new()
        {
            Name = "dense",
            Defaults = AttentionOptions.Dense,
            Settings = [],
            AuxiliaryBytesPerToken = (_, _) => 0,
            PlannedBytes = (_, _, _) => 0,
            Selection = (_, _, _) => (0, 0),
            Create = (backend, config, cache, _, _) => new DensePolicy(backend, config, cache),
        },
        new()
        {
            Name = "double-sparsity",
            Defaults = AttentionOptions.DoubleSparsity,
            Settings = ["label", "label-bits", "budgets", "channels", "bits", "scaling", "order", "map", "prior", "drift", .. s_ranked],
            AuxiliaryBytesPerToken = DoubleSparsityMemory.LabelBytesPerToken,
            PlannedBytes = (config, options, decoder) => options.Online ? OnlineDoubleSparsityPolicy.PlannedBytes(config, options, decoder) : DoubleSparsityMemory.PlannedBytes(config, options, decoder),
            Selection = (config, options, capacity) => (options.SetsOf(config), options.MostTokens(capacity)),
            Create = (backend, config, cache, options, decoder) => options.Online
                ? new OnlineDoubleSparsityPolicy(backend, config, cache, options, decoder)
                : new DoubleSparsityPolicy(backend, config, cache, options, Map(config, options, decoder), decoder),
        },
        new()
        {
            Name = "double-sparsity-published",
            Defaults = AttentionOptions.PublishedDoubleSparsity,
            Settings = ["tokens", "channels", "bits", "map", "dense-layers"],
            AuxiliaryBytesPerToken = PublishedDoubleSparsityPolicy.LabelBytesPerToken,
            PlannedBytes = PublishedDoubleSparsityPolicy.PlannedBytes,
            Selection = OneAHead,
            Create = (backend, config, cache, options, decoder) => new PublishedDoubleSparsityPolicy(backend, config, cache, options, Map(config, options, decoder), decoder.MaxSequences),
        },
        new()
        {
            Name = "oracle",
            Defaults = AttentionOptions.Oracle,
            Settings = s_ranked,
            AuxiliaryBytesPerToken = (config, options) => DoubleSparsityMemory.LabelBytesPerToken(config, OraclePolicy.Labels(config, options)),
            PlannedBytes = (config, options, decoder) => DoubleSparsityMemory.PlannedBytes(config, OraclePolicy.Labels(config, options), decoder),
            Selection = (config, options, capacity) => (options.SetsOf(config), options.Rule.Budget(capacity)),
            Create = (backend, config, cache, options, decoder) => OraclePolicy.Create(backend, config, cache, options, decoder),
        },
        new()
        {
            Name = "streaming",
            Defaults = AttentionOptions.Streaming,
            Settings = ["tokens", "sinks", "positions"],
            AuxiliaryBytesPerToken = (_, _) => 0,
            PlannedBytes = (config, options, decoder) => options.PositionsInCache ? RepositionedStreamingPolicy.PlannedBytes(config, options, decoder) : StreamingPolicy.PlannedBytes(config, options, decoder),
            Selection = (config, options, capacity) => (config.KvHeads, options.Rule.Budget(capacity)),
            Create = (backend, config, cache, options, decoder) => options.PositionsInCache
                ? new RepositionedStreamingPolicy(backend, config, cache, options, decoder.MaxSequences)
                : new StreamingPolicy(backend, config, cache, options, decoder.MaxSequences),
        },
        new()
        {
            Name = "quest",
            Defaults = AttentionOptions.Quest,
            Settings = ["tokens", "page", "dense-layers"],
            AuxiliaryBytesPerToken = QuestPolicy.BoundBytesPerToken,
            PlannedBytes = QuestPolicy.PlannedBytes,
            Selection = (config, options, capacity) => (config.Heads, Math.Min(QuestPolicy.MostTokens(options, capacity), capacity)),
            Create = (backend, config, cache, options, decoder) => new QuestPolicy(backend, config, cache, options, decoder.MaxSequences),
        },
        new()
        {
            Name = "sparq",
            Defaults = AttentionOptions.Sparq,
            Settings = ["tokens", "r", "mean-value", "dense-layers"],
            AuxiliaryBytesPerToken = SparqPolicy.KeyBytesPerToken,
            PlannedBytes = SparqPolicy.PlannedBytes,
            Selection = OneAHead,
            Create = (backend, config, cache, options, decoder) => new SparqPolicy(backend, config, cache, options, decoder.MaxSequences),
        },
        new()
        {
            Name = "h2o",
            Defaults = AttentionOptions.H2o,
            Settings = ["tokens", "sets", "dense-layers"],
            AuxiliaryBytesPerToken = H2oPolicy.SumBytesPerToken,
            PlannedBytes = H2oPolicy.PlannedBytes,
            Selection = (config, options, capacity) => (options.SetsOf(config), Math.Min(options.Rule.Budget(capacity), capacity)),
            Create = (backend, config, cache, options, decoder) => new H2oPolicy(backend, config, cache, options, decoder.MaxSequences),
        },
        new()
        {
            Name = "loki",
            Defaults = AttentionOptions.Loki,
            Settings = ["tokens", "r", "components", "dense-layers"],
            AuxiliaryBytesPerToken = (_, _) => 0,
            PlannedBytes = LokiPolicy.PlannedBytes,
            Selection = OneAHead,
            Create = (backend, config, cache, options, decoder) => new LokiPolicy(backend, config, cache, options,
                KeyComponents.Load(options.ComponentsPath ?? throw new ArgumentException($"{options} needs components=PATH: make them with 'ilgpusparse calibrate --components PATH'", nameof(options))), decoder.MaxSequences),
        },
    ];

    private static (int Sets, int Capacity) OneAHead(LlamaConfig config, AttentionOptions options, int capacity) => (config.Heads, Math.Min(options.Rule.Budget(capacity), capacity));

    private static ChannelMap Map(LlamaConfig config, AttentionOptions options, DecoderOptions decoder) => options.MapPath is { } path
        ? ChannelMap.Read(path, config)
        : decoder.Channels ?? throw new ArgumentException($"{options} needs a channel map: make one with 'ilgpusparse calibrate'{(options.Kind == AttentionKind.DoubleSparsity ? ", or let texts make their own (map=online)" : "")}", nameof(decoder));

    private AttentionMethod() { }

    /// <summary>What the string form begins with.</summary>
    public required string Name { get; init; }

    /// <summary>The method with no setting said.</summary>
    public required AttentionOptions Defaults { get; init; }

    /// <summary>Keys that it takes.</summary>
    public required IReadOnlyList<string> Settings { get; init; }

    /// <summary>Bytes that it keeps a cached token over all layers, beside K and V.</summary>
    public required Func<LlamaConfig, AttentionOptions, long> AuxiliaryBytesPerToken { get; init; }

    /// <summary>Bytes that its policy allocates on the device.</summary>
    public required Func<LlamaConfig, AttentionOptions, DecoderOptions, long> PlannedBytes { get; init; }

    /// <summary>Token lists a step's row, and the room of each, of a policy over a cache of so many tokens; none where it selects nothing.</summary>
    public required Func<LlamaConfig, AttentionOptions, int, (int Sets, int Capacity)> Selection { get; init; }

    /// <summary>Makes the policy.</summary>
    public required Func<ComputeBackend, LlamaConfig, KvCache, AttentionOptions, DecoderOptions, AttentionPolicy> Create { get; init; }

    /// <summary>The method of this name.</summary>
    /// <exception cref="FormatException">There is none; the message lists what there is.</exception>
    public static AttentionMethod Find(string name) =>
        Array.Find(s_methods, m => m.Name == name) ?? throw new FormatException($"unknown attention '{name}'; there are: {string.Join(", ", s_methods.Select(m => m.Name))}");

    /// <summary>The method of this kind.</summary>
    public static AttentionMethod Of(AttentionKind kind) => Array.Find(s_methods, m => m.Defaults.Kind == kind) ?? throw new ArgumentOutOfRangeException(nameof(kind), kind, "unknown attention");
}
