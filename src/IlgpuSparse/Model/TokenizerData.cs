namespace IlgpuSparse.Model;

/// <summary>A tokenizer as the model file describes it, independent of any tokenizer library.</summary>
public sealed record TokenizerData
{
    /// <summary>Which algorithm.</summary>
    public required TokenizerKind Kind { get; init; }

    /// <summary>Where it came from, for messages.</summary>
    public required string Source { get; init; }

    /// <summary>A serialised SentencePiece model (<c>tokenizer.model</c>), when the file is one; the vocabulary below is empty then.</summary>
    public byte[]? SentencePieceModel { get; init; }

    /// <summary>Pieces by id; byte-level BPE pieces in the GPT-2 byte alphabet.</summary>
    public IReadOnlyList<string> Tokens { get; init; } = [];

    /// <summary>SentencePiece scores by id.</summary>
    public IReadOnlyList<float> Scores { get; init; } = [];

    /// <summary>GGUF token types by id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.</summary>
    public IReadOnlyList<int> Types { get; init; } = [];

    /// <summary>BPE merges, "left right" in order of rank.</summary>
    public IReadOnlyList<string> Merges { get; init; } = [];

    /// <summary>Tokens that are matched before the algorithm runs, with their ids (control tokens, added tokens).</summary>
    public IReadOnlyDictionary<string, int> SpecialTokens { get; init; } = new Dictionary<string, int>();

    /// <summary>Whether byte-level text is brought to Unicode normalisation form C before it is split (Qwen 2).</summary>
    public bool ComposeCharacters { get; init; }

    /// <summary>The regular expression that splits text before BPE; null for SentencePiece.</summary>
    public string? SplitPattern { get; init; }

    /// <summary>Whether a word that is a piece of the vocabulary becomes that piece even if the merges would not arrive at it (Llama 3).</summary>
    public bool IgnoreMerges { get; init; }

    /// <summary>Id of the beginning-of-sequence token, if any.</summary>
    public int? BosId { get; init; }

    /// <summary>Ids that end a sequence.</summary>
    public IReadOnlyList<int> EosIds { get; init; } = [];

    /// <summary>Id of the unknown token, if any.</summary>
    public int? UnknownId { get; init; }

    /// <summary>Whether encoding starts with <see cref="BosId"/>.</summary>
    public bool AddBos { get; init; }

    /// <summary>Whether SentencePiece puts a space before the text.</summary>
    public bool AddSpacePrefix { get; init; } = true;

    /// <summary>The model's own chat template (Jinja), if the file has one.</summary>
    public string? ChatTemplate { get; init; }
}
