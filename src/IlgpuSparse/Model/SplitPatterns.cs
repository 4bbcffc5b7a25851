namespace IlgpuSparse.Model;

/// <summary>Regular expressions that split text into words before byte-level BPE, as the models' own tokenizers define them.</summary>
internal static class SplitPatterns
{
    /// <summary>GPT-2's.</summary>
    public const string Gpt2 = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    /// <summary>
    /// GPT-2's after every digit has been cut out (SmolLM, StarCoder). In two steps a run of spaces ends where a digit begins, so it is one word; hence the look-ahead.
    /// </summary>
    public const string Gpt2Digits = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+";

    /// <summary>Llama 3's.</summary>
    public const string Llama3 = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Qwen 2's.</summary>
    public const string Qwen2 = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Whether <paramref name="pre"/> names Llama 3's splitting in GGUF.</summary>
    public static bool IsLlama3(string pre) => pre is "llama-bpe" or "llama3" or "llama-v3";

    /// <summary>The expression that <c>tokenizer.ggml.pre</c> of a GGUF file stands for.</summary>
    /// <exception cref="ModelFormatException">Not known here.</exception>
    public static string OfGguf(string pre, string file) => pre switch
    {
        _ when IsLlama3(pre) => Llama3,
        "qwen2" or "deepseek-r1-qwen" => Qwen2,
        "gpt-2" or "gpt2" or "default" => Gpt2,
        "smollm" => Gpt2Digits,
        _ => throw new ModelFormatException(file, $"the pre-tokenizer '{pre}' is not supported; supported are llama-bpe, qwen2, gpt-2, smollm and default"),
    };
}
