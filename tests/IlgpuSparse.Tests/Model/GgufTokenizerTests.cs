using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Model;

/// <summary>Tokenizer metadata of GGUF files.</summary>
public sealed class GgufTokenizerTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void SentencePiece_is_read()
    {
        var data = Read(TinyGguf.Llama().Set("tokenizer.ggml.add_space_prefix", false).Set("tokenizer.chat_template", "{{ messages }}"))!;
        Assert.Equal(TokenizerKind.SentencePiece, data.Kind);
        Assert.Equal("▁a", data.Tokens[8]);
        Assert.Equal(-4f, data.Scores[8]);
        Assert.Equal([2, 3, 3, 4, 6, 1, 1, 1, 1, 1], data.Types);
        Assert.Equal(new Dictionary<string, int> { ["<s>"] = 1, ["</s>"] = 2, ["\n"] = 3 }, data.SpecialTokens);
        Assert.Equal((1, 0, true, false, "{{ messages }}"), (data.BosId, data.UnknownId, data.AddBos, data.AddSpacePrefix, data.ChatTemplate));
        Assert.Equal([2], data.EosIds);
        Assert.Null(data.SplitPattern);
    }

    [Theory]
    [InlineData("llama-bpe", SplitPatterns.Llama3, true)]
    [InlineData("qwen2", SplitPatterns.Qwen2, false)]
    [InlineData("gpt-2", SplitPatterns.Gpt2, false)]
    [InlineData("default", SplitPatterns.Gpt2, false)]
    [InlineData("smollm", SplitPatterns.Gpt2Digits, false)]
    public void Byte_level_is_read(string pre, string pattern, bool addBos)
    {
        var data = Read(ByteLevel(pre).Set("tokenizer.ggml.bos_token_id", 8u).Set("tokenizer.ggml.eos_token_id", 9u))!;
        Assert.Equal((TokenizerKind.ByteLevelBpe, pattern, addBos, 8), (data.Kind, data.SplitPattern, data.AddBos, data.BosId));
        Assert.Equal((pre == "llama-bpe", pre == "qwen2"), (data.IgnoreMerges, data.ComposeCharacters));
        Assert.Equal(["a b", "ab c"], data.Merges);
        Assert.Equal(new Dictionary<string, int> { ["<|im_end|>"] = 7, ["<|begin|>"] = 8, ["<|end|>"] = 9 }, data.SpecialTokens);
        Assert.Equal([9, 7], data.EosIds); // the end of a turn ends a sequence too
    }

    [Fact]
    public void What_is_not_supported_is_refused_when_it_is_asked_for_not_before()
    {
        Assert.Contains("'deepseek-llm'", Refused(ByteLevel("deepseek-llm")));
        Assert.Contains("'bert'", Refused(TinyGguf.Llama().Replace("tokenizer.ggml.model", "bert")));
        Assert.Contains("tokenizer.ggml.scores' has 3 entries", Refused(TinyGguf.Llama().Replace("tokenizer.ggml.scores", new[] { 1f, 2f, 3f })));
        Assert.Contains("no metadata 'tokenizer.ggml.scores'", Refused(TinyGguf.Llama().Remove("tokenizer.ggml.scores")));
        Assert.Contains("no metadata 'tokenizer.ggml.merges'", Refused(ByteLevel("gpt-2").Remove("tokenizer.ggml.merges")));
        Assert.Contains("'nospace'", Refused(ByteLevel("gpt-2").Replace("tokenizer.ggml.merges", new[] { "nospace" })));
        Assert.Contains("'tokenizer.ggml.unknown_token_id' is 99", Refused(TinyGguf.Llama().Set("tokenizer.ggml.unknown_token_id", 99u)));
    }

    [Fact]
    public void A_file_without_one_has_none() => Assert.Null(Read(TinyGguf.Llama().Replace("tokenizer.ggml.model", "none")));

    private static GgufWriter ByteLevel(string pre) => TinyGguf.Llama()
        .Replace("tokenizer.ggml.model", "gpt2").Set("tokenizer.ggml.pre", pre).Remove("tokenizer.ggml.scores")
        .Replace("tokenizer.ggml.tokens", new[] { "a", "b", "c", "Ġ", "ab", "abc", "d", "<|im_end|>", "<|begin|>", "<|end|>" })
        .Replace("tokenizer.ggml.token_type", new[] { 1, 1, 1, 1, 1, 1, 1, 3, 3, 3 })
        .Set("tokenizer.ggml.merges", new[] { "a b", "ab c" });

    private TokenizerData? Read(GgufWriter writer)
    {
        using var model = ModelFile.Open(_directory.Write("test.gguf", writer.ToArray()));
        return model.Tokenizer;
    }

    private string Refused(GgufWriter writer)
    {
        using var model = ModelFile.Open(_directory.Write("test.gguf", writer.ToArray()));
        var e = Assert.Throws<ModelFormatException>(() => model.Tokenizer);
        Assert.StartsWith(model.Path + ": ", e.Message, StringComparison.Ordinal);
        return e.Message;
    }
}
