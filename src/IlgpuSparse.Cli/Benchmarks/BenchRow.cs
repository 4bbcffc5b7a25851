namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>One measurement, as the table and the JSON document have it. What was not measured is null.</summary>
internal sealed record BenchRow
{
    /// <summary><see cref="What"/> of a whole step.</summary>
    public const string Step = "step";

    /// <summary><see cref="Attention"/> of full attention.</summary>
    public const string Dense = "dense";

    /// <summary>product; or step for the whole, else the stage: append, score, select (scores and sets), attend; or copy, read.</summary>
    public required string What { get; init; }

    /// <summary>Shape and format of the model that is run; null where attention alone is.</summary>
    public string? Model { get; init; }

    /// <summary>Query heads.</summary>
    public int Heads { get; init; }

    /// <summary>Key and value heads.</summary>
    public int KvHeads { get; init; }

    /// <summary>Channels a head.</summary>
    public int HeadDim { get; init; }

    /// <summary>Tokens of each sequence.</summary>
    public int Context { get; init; }

    /// <summary>Sequences.</summary>
    public int Batch { get; init; }

    /// <summary>Storage of K and V.</summary>
    public string? KvFormat { get; init; }

    /// <summary>The attention's string form.</summary>
    public string? Attention { get; init; }

    /// <summary>Storage of weights, for products with them.</summary>
    public string? Weights { get; init; }

    /// <summary>Outputs of a product.</summary>
    public int? Outputs { get; init; }

    /// <summary>Inputs of a product.</summary>
    public int? Inputs { get; init; }

    /// <summary>The headline: replayed from a graph where there are graphs, of decode steps queued where they can be, else launched; µs.</summary>
    public double? Microseconds => Graph?.Median ?? Queued?.Median ?? Launched?.Median;

    /// <summary>Replayed from a CUDA graph, µs a step.</summary>
    public Timing? Graph { get; init; }

    /// <summary>Launched call by call, µs a step.</summary>
    public Timing? Launched { get; init; }

    /// <summary>Decode steps that follow one another on the device, as 'generate' asks for them: each draws its token, which feeds the next; µs a step.</summary>
    public Timing? Queued { get; init; }

    /// <summary>Kernels and copies a step in the graph.</summary>
    public double? Nodes { get; init; }

    /// <summary>Layers in rotation.</summary>
    public int? Layers { get; init; }

    /// <summary>Where K and V lie, if not on the device: host.</summary>
    public string? Kv { get; init; }

    /// <summary>replayed where a step attended to recorded selections; null for its own.</summary>
    public string? Selections { get; init; }

    /// <summary>Rows a layer and kv head that stay on the device.</summary>
    public int? HotTokens { get; init; }

    /// <summary>Share of the selected rows, resident blocks aside, that were found there.</summary>
    public double? HitRate { get; init; }

    /// <summary>How rows are brought ahead; null where they are not.</summary>
    public string? Prediction { get; init; }

    /// <summary>Share of the other selected rows that had been brought ahead.</summary>
    public double? PredictionRate { get; init; }

    /// <summary>Share of the selected rows, resident blocks aside, that were missing and not worth fetching.</summary>
    public double? DropRate { get; init; }

    /// <summary>Device memory of K, V and labels.</summary>
    public long? DeviceBytes { get; init; }

    /// <summary>Pinned host memory of K and V.</summary>
    public long? HostBytes { get; init; }

    /// <summary>Bytes a step that come over the bus.</summary>
    public long? BusBytes { get; init; }

    /// <summary><see cref="BusBytes"/> over the headline time, 10⁹ a second.</summary>
    public double? BusGigabytesPerSecond => BusBytes / Microseconds / 1e3;

    /// <summary><see cref="BusGigabytesPerSecond"/> over that of a copy from pinned host memory.</summary>
    public double? BusShare { get; init; }

    /// <summary>Tokens a second over those of a step that brings all of K and V.</summary>
    public double? OverFull { get; init; }

    /// <summary>Bytes of a row, where rows of several sizes are moved.</summary>
    public int? RowBytes { get; init; }

    /// <summary>Bytes that have to move.</summary>
    public long? Bytes { get; init; }

    /// <summary>Bytes over the headline time, 10⁹ a second.</summary>
    public double? GigabytesPerSecond => Bytes / Microseconds / 1e3;

    /// <summary><see cref="GigabytesPerSecond"/> over the yardstick's.</summary>
    public double? Share { get; init; }

    /// <summary>Relative error against double precision.</summary>
    public double? Error { get; init; }

    /// <summary>Correlation of the scores with exact logits.</summary>
    public double? Correlation { get; init; }

    /// <summary>Tokens that a run computes.</summary>
    public long? Tokens { get; init; }

    /// <summary><see cref="Tokens"/> over the headline time.</summary>
    public double? TokensPerSecond => Tokens / Microseconds * 1e6;

    /// <summary>Bytes of memory that the plan promises for weights, caches and scratch.</summary>
    public long? PlannedBytes { get; init; }

    /// <summary>Bytes of memory in use for them afterwards: as the driver says on CUDA, with its own; as allocated elsewhere.</summary>
    public long? UsedBytes { get; init; }

    /// <summary><see cref="UsedBytes"/> over <see cref="PlannedBytes"/>.</summary>
    public double? OverPlan => (double?)UsedBytes / PlannedBytes;

    /// <summary>Multiplications and additions of products and of causal attention.</summary>
    public double? Operations { get; init; }

    /// <summary><see cref="Operations"/> over the headline time, 10¹² a second.</summary>
    public double? Teraflops => Operations / Microseconds / 1e6;

    /// <summary>Time over that of the whole that it is a part of.</summary>
    public double? Part { get; init; }

    /// <summary>PyTorch at the same: TFLOP/s of prefill, tokens/s of decode.</summary>
    public double? PyTorch { get; init; }

    /// <summary>Rate over PyTorch's.</summary>
    public double? OverPyTorch => (Teraflops ?? TokensPerSecond) / PyTorch;

    /// <summary>Best SDPA of the baseline, µs.</summary>
    public double? SdpaMicroseconds { get; init; }

    /// <summary>Double Sparsity composed of PyTorch operations, µs.</summary>
    public double? TorchMicroseconds { get; init; }

    /// <summary>Time over best SDPA.</summary>
    public double? OverSdpa => Microseconds / SdpaMicroseconds;

    /// <summary>Best SDPA over time.</summary>
    public double? SpeedUp => SdpaMicroseconds / Microseconds;

    /// <summary>PyTorch Double Sparsity over time.</summary>
    public double? OverTorch => Attention == Dense ? null : TorchMicroseconds / Microseconds;

    /// <summary>Why there is no measurement.</summary>
    public string? Problem { get; init; }

    /// <summary>Whether <see cref="Problem"/> is a wrong result or another failure; too little memory is none.</summary>
    public bool Failed { get; init; }
}
