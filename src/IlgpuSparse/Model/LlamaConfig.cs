namespace IlgpuSparse.Model;

/// <summary>Shapes and constants of a Llama-family model (Llama, Mistral, Mixtral, Qwen 2).</summary>
public sealed record LlamaConfig
{
    /// <summary>The family as the file names it: llama, mistral, mixtral, qwen2.</summary>
    public required string ModelType { get; init; }

    /// <summary>Vocabulary size.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Width of the feed-forward layer (of one expert).</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Number of layers.</summary>
    public required int Layers { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads; a divisor of <see cref="Heads"/>.</summary>
    public required int KvHeads { get; init; }

    /// <summary>Channels a head.</summary>
    public required int HeadDim { get; init; }

    /// <summary>Longest context that the model was made for, in tokens.</summary>
    public required int MaxContext { get; init; }

    /// <summary>Epsilon of RMSNorm.</summary>
    public required float NormEpsilon { get; init; }

    /// <summary>Base of the rotary frequencies.</summary>
    public float RopeTheta { get; init; } = 10000f;

    /// <summary>Scaling of the rotary frequencies.</summary>
    public RopeScaling RopeScaling { get; init; } = RopeScaling.None;

    /// <summary>Divisors of the rotary frequencies <c>[headDim / 2]</c> that the file carries (Llama 3.1 in GGUF: its scaling, worked out), or null.</summary>
    public IReadOnlyList<float>? RopeFrequencyFactors { get; init; }

    /// <summary>Pairing of the rotary channels.</summary>
    public RopeStyle RopeStyle { get; init; }

    /// <summary>Tokens that a layer may look back (Mistral), the current one included; 0 for all.</summary>
    public int SlidingWindow { get; init; }

    /// <summary>Experts a layer; 0 for a plain feed-forward layer.</summary>
    public int Experts { get; init; }

    /// <summary>Experts that a token is routed to.</summary>
    public int ActiveExperts { get; init; }

    /// <summary>Whether q, k and v have biases (Qwen 2, some Llamas).</summary>
    public bool QkvBias { get; init; }

    /// <summary>Whether the output projection has a bias.</summary>
    public bool OutputBias { get; init; }

    /// <summary>Whether the feed-forward projections have biases.</summary>
    public bool MlpBias { get; init; }

    /// <summary>Whether the output matrix is the embedding matrix.</summary>
    public bool TiedEmbeddings { get; init; }

    /// <summary>Beginning-of-sequence id, if the file says one.</summary>
    public int? BosId { get; init; }

    /// <summary>End-of-sequence ids.</summary>
    public IReadOnlyList<int> EosIds { get; init; } = [];

    /// <summary>Query heads of one kv head.</summary>
    public int GroupSize => Heads / KvHeads;
}
