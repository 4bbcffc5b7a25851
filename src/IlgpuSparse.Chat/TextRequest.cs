using IlgpuSparse.Generation;

namespace IlgpuSparse.Chat;

/// <summary>A text that a <see cref="ChatModel"/> is asked to continue.</summary>
public sealed record TextRequest
{
    /// <summary>The tokens to continue, at least one.</summary>
    public required IReadOnlyList<int> Prompt { get; init; }

    /// <summary>Most new tokens; null for the model's usual number.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>How tokens are drawn.</summary>
    public SamplingOptions Sampling { get; init; } = SamplingOptions.Greedy;

    /// <summary>Texts that end the answer and are not part of it.</summary>
    public IReadOnlyList<string> Stops { get; init; } = [];

    /// <summary>Whether the prompt is a text rather than a conversation: a space at the beginning of what follows belongs to it, and the template's own stops mean nothing.</summary>
    public bool IsContinuation { get; init; }

    /// <summary>As <see cref="GenerationRequest.FullAttention"/>.</summary>
    public bool FullAttention { get; init; }

    /// <summary>As <see cref="GenerationRequest.TopLogProbabilities"/>.</summary>
    public int? TopLogProbabilities { get; init; }

    /// <summary>As <see cref="GenerationRequest.TraceAttention"/>.</summary>
    public bool TraceAttention { get; init; }
}
