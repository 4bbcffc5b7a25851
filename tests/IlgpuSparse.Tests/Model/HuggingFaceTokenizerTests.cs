using System.Text;
using System.Text.Json.Nodes;
using IlgpuSparse.Chat;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Model;

/// <summary>tokenizer.json, tokenizer.model and tokenizer_config.json.</summary>
public sealed class HuggingFaceTokenizerTests : IDisposable
{
    private const string Llama3Like = """
        {
          "added_tokens": [
            {"id": 5, "content": "<|begin|>", "special": true},
            {"id": 6, "content": "<|end|>", "special": true},
            {"id": 7, "content": "<tool>", "special": false},
            {"id": 900, "content": "<beyond the embedding>", "special": false}
          ],
          "normalizer": null,
          "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\p{L}+|."}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
          "post_processor": {"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": true},
            {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|begin|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}]},
          "model": {"type": "BPE", "unk_token": null, "byte_fallback": false, "vocab": {"a": 0, "b": 1, "ab": 3, "c": 2}, "merges": ["a b"]}
        }
        """;

    private readonly TemporaryDirectory _directory = new();

    public HuggingFaceTokenizerTests() => _directory.CopyFrom(TestFiles.Data("checkpoints", "llama-mha"));

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Byte_level_is_read()
    {
        var data = Read(Llama3Like)!;
        Assert.Equal(TokenizerKind.ByteLevelBpe, data.Kind);
        Assert.Equal(["a", "b", "c", "ab", "", "<|begin|>", "<|end|>", "<tool>"], data.Tokens);
        Assert.Equal([1, 1, 1, 1, 5, 3, 3, 4], data.Types);
        Assert.Equal(["a b"], data.Merges);
        Assert.Equal(@"\p{L}+|.", data.SplitPattern);
        Assert.Equal((5, true), (data.BosId, data.AddBos));
        Assert.Equal([2], data.EosIds); // config.json says so
        Assert.Equal(new Dictionary<string, int> { ["<|begin|>"] = 5, ["<|end|>"] = 6, ["<tool>"] = 7 }, data.SpecialTokens);
    }

    [Fact]
    public void Settings_beside_it_are_read()
    {
        _directory.Write("tokenizer_config.json", """{"bos_token": {"content": "<|end|>"}, "add_bos_token": false, "chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]}""");
        var data = Read(Llama3Like)!;
        Assert.Equal((5, false, "yes"), (data.BosId, data.AddBos, data.ChatTemplate));
        var withoutTemplate = Read(Llama3Like, json => json["post_processor"] = null)!;
        Assert.Equal((6, false), (withoutTemplate.BosId, withoutTemplate.AddBos));
        _directory.Write("chat_template.jinja", "from its own file");
        Assert.Equal("from its own file", Read(Llama3Like)!.ChatTemplate);
    }

    [Fact]
    public void Merges_may_be_pairs()
    {
        Assert.Equal(["a b"], Read(Llama3Like, json => json["model"]!["merges"] = JsonNode.Parse("""[["a","b"]]"""))!.Merges);
        foreach (string bad in new[] { """["ab"]""", """["a b c"]""", """[["a"]]""", """[["a","b","c"]]""", """[7]""", """[["a",7]]""", """[[]]""" })
            Refused(Llama3Like, json => json["model"]!["merges"] = JsonNode.Parse(bad));
    }

    [Theory]
    [InlineData("""{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}""", SplitPatterns.Gpt2)]
    [InlineData("""{"type":"ByteLevel","add_prefix_space":false}""", SplitPatterns.Gpt2)]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false}]}""", SplitPatterns.Gpt2Digits)]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"x"},"behavior":"Removed","invert":true},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}""", "x")]
    public void Pre_tokenizers_in_use_are_understood(string pre, string pattern) =>
        Assert.Equal(pattern, Read(Llama3Like, json => json["pre_tokenizer"] = JsonNode.Parse(pre))!.SplitPattern);

    [Theory]
    [InlineData("""{"type":"NFC"}""", true)]
    [InlineData("""{"type":"Sequence","normalizers":[{"type":"NFC"}]}""", true)]
    [InlineData("""{"type":"Sequence","normalizers":[]}""", false)]
    [InlineData("null", false)]
    public void Qwen_2s_normalizer_is_read(string normalizer, bool composes)
    {
        Assert.Equal(composes, Read(Llama3Like, json => json["normalizer"] = JsonNode.Parse(normalizer))!.ComposeCharacters);
        Assert.Contains("'NFKC'", Refused(Llama3Like, json => json["normalizer"] = JsonNode.Parse("""{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"NFKC"}]}""")), StringComparison.Ordinal);
        Assert.Contains("'normalizers'", Refused(Llama3Like, json => json["normalizer"] = JsonNode.Parse("""{"type":"Sequence"}""")), StringComparison.Ordinal);
    }

    [Fact]
    public void Llama_3_takes_whole_words()
    {
        Assert.False(Read(Llama3Like)!.IgnoreMerges);
        Assert.True(Read(Llama3Like, json => json["model"]!["ignore_merges"] = true)!.IgnoreMerges);
        Assert.Contains("'model.ignore_merges'", Refused(Llama3Like, json => json["model"]!["ignore_merges"] = 1), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("null", "pre_tokenizer []")]
    [InlineData("""{"type":"Metaspace"}""", "[Metaspace]")]
    [InlineData("""{"type":"ByteLevel","add_prefix_space":true}""", "add_prefix_space")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Whitespace"},{"type":"ByteLevel","add_prefix_space":false}]}""", "[Whitespace, ByteLevel]")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"x"},"behavior":"MergedWithNext"},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}""", "'MergedWithNext'")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"String":"x"},"behavior":"Isolated"},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}""", "no regular expression")]
    [InlineData("""{"type":"Sequence","pretokenizers":[5]}""", "pretokenizers[0]")]
    public void Others_are_refused_by_name(string pre, string reason) =>
        Assert.Contains(reason, Refused(Llama3Like, json => json["pre_tokenizer"] = JsonNode.Parse(pre)), StringComparison.Ordinal);

    [Fact]
    public void What_is_wrong_or_not_supported_is_named()
    {
        Assert.Contains("'Unigram'", Refused(Llama3Like, json => json["model"]!["type"] = "Unigram"), StringComparison.Ordinal);
        Assert.Contains("'Lowercase'", Refused(Llama3Like, json => json["normalizer"] = JsonNode.Parse("""{"type":"Lowercase"}""")), StringComparison.Ordinal);
        Assert.Contains("'ab' has the id 256", Refused(Llama3Like, json => json["model"]!["vocab"]!["ab"] = 256), StringComparison.Ordinal);
        Assert.Contains("'ab' has the id -1", Refused(Llama3Like, json => json["model"]!["vocab"]!["ab"] = -1), StringComparison.Ordinal);
        Assert.Contains("'<|nothing|>'", Refused(Llama3Like, json => json["post_processor"]!["processors"]![1]!["single"]![0]!["SpecialToken"]!["id"] = "<|nothing|>"), StringComparison.Ordinal);
        Assert.Contains("no 'model'", Refused(Llama3Like, json => json["model"] = null), StringComparison.Ordinal);
        Assert.Contains("'added_tokens[0].id'", Refused(Llama3Like, json => json["added_tokens"]![0]!["id"] = "5"), StringComparison.Ordinal);
        Assert.Contains("tokenizer.model is needed", Refused(Llama3Like, json => json["model"]!["byte_fallback"] = true), StringComparison.Ordinal);
    }

    [Fact]
    public void SentencePiece_is_taken_from_its_own_file()
    {
        _directory.Write("tokenizer.model", [1, 2, 3]);
        var alone = Read(null)!;
        Assert.Equal((TokenizerKind.SentencePiece, true, true, 1), (alone.Kind, alone.AddBos, alone.AddSpacePrefix, alone.BosId));
        Assert.Equal([1, 2, 3], alone.SentencePieceModel!);
        _directory.Write("tokenizer_config.json", """{"add_bos_token": false, "added_tokens_decoder": {"5": {"content": "<tool>"}}}""");
        var configured = Read(null)!;
        Assert.False(configured.AddBos);
        Assert.Equal(5, configured.SpecialTokens["<tool>"]);
        Assert.Equal(TokenizerKind.SentencePiece, Read(Llama3Like, json => json["model"]!["byte_fallback"] = true)!.Kind);
        Assert.Equal(TokenizerKind.ByteLevelBpe, Read(Llama3Like)!.Kind); // Llama 3 has a tokenizer.model of another kind beside it
        _directory.Write("tokenizer.model", []);
        File.Delete(_directory.File("tokenizer.json"));
        using var model = ModelFile.Open(_directory.Path);
        Assert.Contains("0 bytes", Assert.Throws<ModelFormatException>(() => model.Tokenizer).Message, StringComparison.Ordinal);
    }

    /// <summary>Whatever is done to the files that say how text is read: a tokenizer that works, or one kind of exception.</summary>
    [Fact]
    public void Damaged_at_random_they_are_read_or_refused()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        byte[] config = File.ReadAllBytes(_directory.File("config.json")), json = Encoding.UTF8.GetBytes(Llama3Like), pieces = File.ReadAllBytes(TestFiles.Data("tokenizer", "books-16m.model"));
        for (int i = 0; i < 600; i++)
        {
            _directory.Write("config.json", i % 3 == 0 ? Mutation.Of(config, config.Length, random) : config);
            _directory.Write("tokenizer.json", i % 3 == 1 ? Mutation.Of(json, json.Length, random) : json);
            if (i % 3 == 2)
            {
                File.Delete(_directory.File("tokenizer.json"));
                _directory.Write("tokenizer.model", Mutation.Of(pieces, pieces.Length, random));
            }
            try
            {
                using var model = ModelFile.Open(_directory.Path);
                var tokenizer = TextTokenizer.Create(model.Tokenizer!);
                tokenizer.Decode(tokenizer.Encode("abc é <|begin|>", parseSpecial: true));
            }
            catch (ModelFormatException)
            {
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed}, round {i}: {e}");
            }
        }
    }

    [Fact]
    public void Text_that_is_not_UTF_8_is_refused()
    {
        byte[] json = Encoding.UTF8.GetBytes(Llama3Like);
        json[Array.IndexOf(json, (byte)'B', json.AsSpan().IndexOf("ByteLevel"u8))] = 0xFF;
        _directory.Write("tokenizer.json", json);
        using var model = ModelFile.Open(_directory.Path);
        Assert.Contains("not UTF-8", Assert.Throws<ModelFormatException>(() => model.Tokenizer).Message, StringComparison.Ordinal);
    }

    private TokenizerData? Read(string? tokenizer, Action<JsonNode>? change = null)
    {
        Write(tokenizer, change);
        using var model = ModelFile.Open(_directory.Path);
        return model.Tokenizer;
    }

    private string Refused(string tokenizer, Action<JsonNode> change)
    {
        Write(tokenizer, change);
        using var model = ModelFile.Open(_directory.Path);
        var e = Assert.Throws<ModelFormatException>(() => model.Tokenizer);
        Assert.StartsWith(_directory.File("tokenizer.json") + ": ", e.Message, StringComparison.Ordinal);
        return e.Message;
    }

    private void Write(string? tokenizer, Action<JsonNode>? change)
    {
        if (tokenizer is null) return;
        var json = JsonNode.Parse(tokenizer)!;
        change?.Invoke(json);
        _directory.Write("tokenizer.json", json.ToJsonString());
    }
}
