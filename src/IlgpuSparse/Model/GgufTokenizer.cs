namespace IlgpuSparse.Model;

/// <summary>Reads <see cref="TokenizerData"/> from the metadata of a GGUF file.</summary>
internal static class GgufTokenizer
{
    private const string Prefix = "tokenizer.ggml.";

    // Ends of a turn that chat models produce; many files name only one of them in their metadata.
    private static readonly string[] EndTokens = ["<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|im_end|>", "<|endoftext|>"];

    /// <summary>The tokenizer, or null when the file has none.</summary>
    /// <exception cref="ModelFormatException">Contradictory, or of a kind that is not supported.</exception>
    public static TokenizerData? Read(GgufFile gguf)
    {
        var m = gguf.Metadata;
        string? model = m.FindString(Prefix + "model");
        if (model is null or "none" or "no_vocab") return null;
        var kind = model switch
        {
            "llama" => TokenizerKind.SentencePiece,
            "gpt2" => TokenizerKind.ByteLevelBpe,
            _ => throw new ModelFormatException(gguf.Path, $"the tokenizer '{model}' is not supported; supported are llama (SentencePiece) and gpt2 (byte-level BPE)"),
        };
        bool sentencePiece = kind == TokenizerKind.SentencePiece;
        string[] tokens = m.FindStrings(Prefix + "tokens") ?? throw new ModelFormatException(gguf.Path, $"has no metadata '{Prefix}tokens'");
        double[] scores = m.FindNumbers(Prefix + "scores") ?? (sentencePiece ? throw new ModelFormatException(gguf.Path, $"has no metadata '{Prefix}scores'") : []);
        int[] types = m.FindIntegers(Prefix + "token_type") ?? [];
        Fits(gguf, "scores", scores.Length, tokens.Length);
        Fits(gguf, "token_type", types.Length, tokens.Length);
        string pre = m.FindString(Prefix + "pre") ?? "default";
        // What is assumed where the file is silent: the ids of the original Llama vocabulary; and Llama 3 begins its texts, other byte-level models do not.
        int? bos = Id(gguf, "bos_token_id", tokens.Length) ?? (sentencePiece && tokens.Length > 2 ? 1 : null);
        int? eos = Id(gguf, "eos_token_id", tokens.Length) ?? (sentencePiece && tokens.Length > 2 ? 2 : null);
        return new TokenizerData
        {
            Kind = kind,
            Source = gguf.Path,
            Tokens = tokens,
            Scores = Array.ConvertAll(scores, s => (float)s),
            Types = types,
            Merges = sentencePiece ? [] : Merges(gguf),
            SpecialTokens = Special(tokens, types),
            ComposeCharacters = !sentencePiece && pre == "qwen2",
            SplitPattern = sentencePiece ? null : SplitPatterns.OfGguf(pre, gguf.Path),
            IgnoreMerges = !sentencePiece && SplitPatterns.IsLlama3(pre),
            BosId = bos,
            EosIds = EndIds(m, eos),
            UnknownId = Id(gguf, "unknown_token_id", tokens.Length) ?? (sentencePiece && tokens.Length > 2 ? 0 : null),
            AddBos = m.FindBool(Prefix + "add_bos_token") ?? (sentencePiece || SplitPatterns.IsLlama3(pre)),
            AddSpacePrefix = m.FindBool(Prefix + "add_space_prefix") ?? sentencePiece,
            ChatTemplate = m.FindString("tokenizer.chat_template"),
        };
    }

    /// <summary>Every id that ends a sequence: <paramref name="eos"/>, the end of a turn and of a message, and control tokens known to be one of those.</summary>
    public static IReadOnlyList<int> EndIds(GgufMetadata m, int? eos)
    {
        var ids = new List<int>();
        foreach (int? id in (int?[])[eos, m.FindInteger(Prefix + "eot_token_id"), m.FindInteger(Prefix + "eom_token_id")])
        {
            if (id is int known && !ids.Contains(known)) ids.Add(known);
        }
        string[] tokens = m.FindStrings(Prefix + "tokens") ?? [];
        int[] types = m.FindIntegers(Prefix + "token_type") ?? [];
        for (int id = 0; id < Math.Min(tokens.Length, types.Length); id++)
        {
            if (types[id] == (int)TokenType.Control && EndTokens.Contains(tokens[id]) && !ids.Contains(id)) ids.Add(id);
        }
        return ids;
    }

    private static Dictionary<string, int> Special(string[] tokens, int[] types)
    {
        var special = new Dictionary<string, int>();
        for (int id = 0; id < types.Length; id++)
        {
            if (types[id] is (int)TokenType.Control or (int)TokenType.UserDefined) special.TryAdd(tokens[id], id);
        }
        return special;
    }

    private static string[] Merges(GgufFile gguf)
    {
        string[] merges = gguf.Metadata.FindStrings(Prefix + "merges") ?? throw new ModelFormatException(gguf.Path, $"has no metadata '{Prefix}merges'");
        foreach (string merge in merges)
        {
            int space = merge.IndexOf(' ', Math.Min(1, merge.Length));
            if (space < 0 || space == merge.Length - 1) throw new ModelFormatException(gguf.Path, $"the merge '{merge[..Math.Min(merge.Length, 64)]}' is not two pieces with a space between");
        }
        return merges;
    }

    private static int? Id(GgufFile gguf, string key, int tokens) => gguf.Metadata.FindInteger(Prefix + key) switch
    {
        null => null,
        int id when id >= 0 && id < tokens => id,
        int id => throw new ModelFormatException(gguf.Path, $"'{Prefix}{key}' is {id}, the vocabulary has {tokens} tokens"),
    };

    private static void Fits(GgufFile gguf, string key, int length, int tokens)
    {
        if (length != 0 && length != tokens) throw new ModelFormatException(gguf.Path, $"'{Prefix}{key}' has {length} entries, the vocabulary has {tokens}");
    }
}
