namespace IlgpuSparse.Generation;

/// <summary>A text that a <see cref="GenerationEngine"/> is asked to continue.</summary>
public sealed record GenerationRequest
{
    /// <summary>The tokens to continue, at least one.</summary>
    public required IReadOnlyList<int> Prompt { get; init; }

    /// <summary>How many tokens, how they are drawn, and which end the text.</summary>
    public GenerationOptions Options { get; init; } = new();

    /// <summary>Whether the steps of this text attend to every token, whatever the decoder's attention.</summary>
    public bool FullAttention { get; init; }

    /// <summary>How many of the most likely tokens are told with each token, beside its own log-probability; null for none of it.</summary>
    public int? TopLogProbabilities { get; init; }

    /// <summary>Whether each token comes with what was read for it (<see cref="AttentionTrace"/>). Finding that out takes longer than the step itself.</summary>
    public bool TraceAttention { get; init; }

    /// <summary>Refuses what a decoder with this cache and vocabulary cannot do.</summary>
    /// <exception cref="ArgumentException">The prompt is empty or does not fit, an id is outside the vocabulary, or options are outside their ranges.</exception>
    internal void Validate(int capacity, int vocabulary)
    {
        if (Prompt.Count == 0) throw new ArgumentException("a prompt needs at least one token");
        if (Prompt.Count > capacity) throw new ArgumentException($"the prompt of {Prompt.Count:N0} tokens does not fit the context of {capacity:N0}");
        ArgumentOutOfRangeException.ThrowIfNegative(Options.MaxTokens);
        foreach (int id in Prompt)
            if ((uint)id >= (uint)vocabulary) throw new ArgumentException($"token id {id} is outside the vocabulary of {vocabulary}");
        Options.Sampling.Validate();
    }
}
