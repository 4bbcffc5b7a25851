using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
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
            Create = (backend, config, cache, _, _) => new DensePolicy(backend, config, cache),
        },
        new()
        {
            Name = "double-sparsity",
            Defaults = AttentionOptions.DoubleSparsity,
            Settings = ["label", "label-bits", "budgets", "channels", "bits", "scaling", "order", .. s_ranked],
            AuxiliaryBytesPerToken = DoubleSparsityPolicy.LabelBytesPerToken,
            PlannedBytes = DoubleSparsityPolicy.PlannedBytes,
            Create = (backend, config, cache, options, decoder) => new DoubleSparsityPolicy(backend, config, cache, options,
                decoder.Channels ?? throw new ArgumentException($"{options} needs a channel map: make one with 'ilgpusparse calibrate'", nameof(decoder)), decoder),
        },
        new()
        {
            Name = "oracle",
            Defaults = AttentionOptions.Oracle,
            Settings = s_ranked,
            AuxiliaryBytesPerToken = (config, options) => DoubleSparsityPolicy.LabelBytesPerToken(config, OraclePolicy.Labels(config, options)),
            PlannedBytes = (config, options, decoder) => DoubleSparsityPolicy.PlannedBytes(config, OraclePolicy.Labels(config, options), decoder),
            Create = (backend, config, cache, options, decoder) => OraclePolicy.Create(backend, config, cache, options, decoder),
        },
        new()
        {
            Name = "streaming",
            Defaults = AttentionOptions.Streaming,
            Settings = ["tokens", "sinks"],
            AuxiliaryBytesPerToken = (_, _) => 0,
            PlannedBytes = StreamingPolicy.PlannedBytes,
            Create = (backend, config, cache, options, decoder) => new StreamingPolicy(backend, config, cache, options, decoder.MaxSequences),
        },
        new()
        {
            Name = "quest",
            Defaults = AttentionOptions.Quest,
            Settings = ["tokens", "page", "dense-layers"],
            AuxiliaryBytesPerToken = QuestPolicy.BoundBytesPerToken,
            PlannedBytes = HostSelectionPolicy.PlannedBytes,
            Create = (backend, config, cache, options, decoder) => new QuestPolicy(backend, config, cache, options, decoder.MaxSequences),
        },
        new()
        {
            Name = "sparq",
            Defaults = AttentionOptions.Sparq,
            Settings = ["tokens", "r", "mean-value", "dense-layers"],
            AuxiliaryBytesPerToken = SparqPolicy.KeyBytesPerToken,
            PlannedBytes = HostSelectionPolicy.PlannedBytes,
            Create = (backend, config, cache, options, decoder) => new SparqPolicy(backend, config, cache, options, decoder.MaxSequences),
        },
    ];

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

    /// <summary>Makes the policy.</summary>
    public required Func<ComputeBackend, LlamaConfig, KvCache, AttentionOptions, DecoderOptions, AttentionPolicy> Create { get; init; }

    /// <summary>The method of this name.</summary>
    /// <exception cref="FormatException">There is none; the message lists what there is.</exception>
    public static AttentionMethod Find(string name) =>
        Array.Find(s_methods, m => m.Name == name) ?? throw new FormatException($"unknown attention '{name}'; there are: {string.Join(", ", s_methods.Select(m => m.Name))}");

    /// <summary>The method of this kind.</summary>
    public static AttentionMethod Of(AttentionKind kind) => Array.Find(s_methods, m => m.Defaults.Kind == kind) ?? throw new ArgumentOutOfRangeException(nameof(kind), kind, "unknown attention");
}
