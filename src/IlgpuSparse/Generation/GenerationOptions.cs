namespace IlgpuSparse.Generation;

/// <summary>What to generate.</summary>
public sealed record GenerationOptions
{
    /// <summary>Most new tokens.</summary>
    public int MaxTokens { get; init; } = 128;

    /// <summary>How tokens are drawn.</summary>
    public SamplingOptions Sampling { get; init; } = SamplingOptions.Greedy;

    /// <summary>Ids that end the text (and are not part of it).</summary>
    public IReadOnlyCollection<int> StopIds { get; init; } = [];
}
