using System.Diagnostics;
using System.Text;
using System.Text.Json;
using IlgpuSparse.Chat;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Chat;

/// <summary>Byte-level BPE on a tokenizer trained in the test, against merging by hand.</summary>
public class ByteLevelTests
{
    private const string Llama3Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string Corpus =
        "the quiet river ran past the old mill and the old miller said that the river was the only quiet thing in the valley aaaa aaaaaa eeee ...... -- 1234 2345 漢字漢字 😀😀 ééé and so on and on and on";

    private static TokenizerData Data(string? pattern = Llama3Pattern, int merges = 120) =>
        TestTokenizers.TrainByteLevel(Corpus.Split(' ').SelectMany(w => new[] { w, " " + w }), merges, pattern);

    private sealed record Fixture(string SplitPattern, string[] Tokens, string[] Merges, Sample[] Samples);

    private sealed record Sample(string Text, int[] Ids);

    private static readonly JsonSerializerOptions CamelCase = new(JsonSerializerDefaults.Web);

    /// <summary>Ids by Hugging Face's JavaScript tokenizers package 0.2.0, for a small vocabulary and the expression of Llama 3.</summary>
    [Fact]
    public void Every_sample_has_the_ids_of_another_implementation()
    {
        var fixture = JsonSerializer.Deserialize<Fixture>(File.ReadAllBytes(TestFiles.Data("tokenizer/byte-level.json")), CamelCase)!;
        var tokenizer = TextTokenizer.Create(new TokenizerData
        {
            Kind = TokenizerKind.ByteLevelBpe,
            Source = "byte-level.json",
            Tokens = fixture.Tokens,
            Merges = fixture.Merges,
            SplitPattern = fixture.SplitPattern,
        });
        Assert.True(fixture.Samples.Length > 150);
        foreach (var (text, expected) in fixture.Samples)
        {
            int[] ids = tokenizer.Encode(text);
            Assert.True(expected.AsSpan().SequenceEqual(ids), $"{RandomText.Show(text)}: expected {string.Join(' ', expected)}, got {string.Join(' ', ids)}");
            Assert.Equal(text, tokenizer.Decode(ids));
        }
    }

    [Fact]
    public void Encoding_equals_merging_by_rank()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        var data = Data();
        var tokenizer = TextTokenizer.Create(data);
        var splitter = new WordSplitter(Llama3Pattern, "test");
        for (int i = 0; i < 300; i++)
        {
            int start = random.Next(Corpus.Length);
            string text = (i % 2 == 0 ? RandomText.Next(random, 30) : Corpus[start..]).Replace("<|end|>", "", StringComparison.Ordinal);
            var expected = new List<int>();
            foreach (var (offset, length) in splitter.PreTokenize(text)) expected.AddRange(MergeByHand(data, text.Substring(offset, length)));
            int[] ids = tokenizer.Encode(text, addBos: false);
            Assert.True(expected.SequenceEqual(ids), $"seed {seed}: {RandomText.Show(text)}: expected {string.Join(' ', expected)}, got {string.Join(' ', ids)}");
        }
    }

    private static IEnumerable<int> MergeByHand(TokenizerData data, string text)
    {
        var word = Spell(text).Select(c => c.ToString()).ToList();
        foreach (string merge in data.Merges)
        {
            string[] sides = merge.Split(' ');
            TestTokenizers.Apply(word, sides[0], sides[1]);
        }
        return word.Select(p => data.Tokens.ToList().IndexOf(p));
    }

    private static string Spell(string text) => string.Concat(Encoding.UTF8.GetBytes(text).Select(b => ByteAlphabet.Char(b)));

    /// <summary>Llama 3 has pieces that no merge arrives at; they are taken when they are a whole word.</summary>
    [Fact]
    public void With_ignore_merges_a_word_that_is_a_piece_is_that_piece()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        var data = Data(merges: 60);
        string[] unreachable = [" quietly", "zzz", "  ", "漢字漢", "😀😀😀"];
        int first = data.Tokens.Count;
        data = data with { Tokens = [.. data.Tokens, .. unreachable.Select(Spell)], Types = [.. data.Types, .. unreachable.Select(_ => 1)] };
        var merging = TextTokenizer.Create(data);
        var whole = TextTokenizer.Create(data with { IgnoreMerges = true });
        for (int i = 0; i < unreachable.Length; i++)
        {
            Assert.Equal([first + i], whole.Encode(unreachable[i], addBos: false));
            Assert.NotEqual([first + i], merging.Encode(unreachable[i], addBos: false));
        }
        Assert.Equal([first], whole.Encode(" quietly<|end|>", addBos: false)[..1]);
        Assert.DoesNotContain(data.EosIds[0], whole.Encode("<|end|>", addBos: false));

        var splitter = new WordSplitter(Llama3Pattern, "test");
        for (int i = 0; i < 200; i++)
        {
            string text = string.Concat(Enumerable.Range(0, 6).Select(_ => random.Next(3) == 0 ? unreachable[random.Next(unreachable.Length)] : RandomText.Next(random, 8)))
                .Replace("<think>", "", StringComparison.Ordinal);
            var expected = new List<int>();
            foreach (var (offset, length) in splitter.PreTokenize(text))
            {
                string word = text.Substring(offset, length);
                int id = data.Tokens.ToList().IndexOf(Spell(word));
                expected.AddRange(id >= 0 ? [id] : MergeByHand(data, word));
            }
            int[] ids = whole.Encode(text, addBos: false);
            Assert.True(expected.SequenceEqual(ids), $"seed {seed}: {RandomText.Show(text)}: expected {string.Join(' ', expected)}, got {string.Join(' ', ids)}");
            Assert.Equal(text, whole.Decode(ids));
        }
    }

    /// <summary>Qwen 2 composes characters between its special tokens; the others leave text as it is.</summary>
    [Fact]
    public void Characters_are_composed_where_the_model_asks_for_it()
    {
        const string Loose = "e\u0301e\u0301 a\u0307\u0323 \u1112\u1161\u11AB", Composed = "éé \u1EA1\u0307 한";
        var asIs = TextTokenizer.Create(Data());
        var composing = TextTokenizer.Create(Data() with { ComposeCharacters = true });
        Assert.Equal(Loose, asIs.Decode(asIs.Encode(Loose)));
        Assert.Equal(asIs.Encode(Composed), composing.Encode(Loose));
        Assert.Equal(Composed, composing.Decode(composing.Encode(Loose)));
        int[] special = composing.Encode("e\u0301<|end|>\u0301", addBos: false, parseSpecial: true);
        Assert.Equal("é\u0301", composing.Decode(special));
    }

    [Fact]
    public void Control_tokens_need_permission_and_user_defined_ones_do_not()
    {
        var data = Data();
        var tokenizer = TextTokenizer.Create(data);
        int begin = data.BosId!.Value, end = data.EosIds[0], think = end + 1;
        int[] plain = tokenizer.Encode("a<|end|>b<think>c");
        Assert.Equal(begin, plain[0]);
        Assert.DoesNotContain(end, plain);
        Assert.Contains(think, plain);
        Assert.Equal("a<|end|>b<think>c", tokenizer.Decode(plain));
        int[] parsed = tokenizer.Encode("<|begin|>a<|end|><|end|>b<think>", addBos: false, parseSpecial: true);
        Assert.Equal([begin, 'a' - '!' + Letter, end, end, 'b' - '!' + Letter, think], parsed);
        Assert.Equal("ab<think>", tokenizer.Decode(parsed));
        Assert.Equal([begin], tokenizer.Encode(""));
    }

    private const int Letter = '!'; // the first 256 ids of the trained vocabulary are the bytes

    [Theory]
    [InlineData("a𝐇b", "a𝐇b")]
    [InlineData(" 𠀀漢x 1", " 𠀀漢x| |1")]
    [InlineData("𝟘𝟙𝟚𝟛4", "𝟘𝟙𝟚|𝟛4")]
    [InlineData("don't 😀😀!!\n\nx", "don|'t| 😀😀!!\n\n|x")]
    [InlineData("a  b   ", "a| | b|   ")]
    public void Words_are_split_by_characters_not_by_utf16_units(string text, string words)
    {
        var splitter = new WordSplitter(Llama3Pattern, "test");
        Assert.Equal(words, string.Join('|', splitter.PreTokenize(text).Select(w => text.Substring(w.Offset, w.Length))));
    }

    [Fact]
    public void Text_that_the_expression_does_not_cover_is_kept()
    {
        var splitter = new WordSplitter(@"\d+|(?=x)", "test");
        Assert.Equal("ab|12|c😀x|3|y", string.Join('|', splitter.PreTokenize("ab12c😀x3y").Select(w => "ab12c😀x3y".Substring(w.Offset, w.Length))));
    }

    [Fact]
    public void Missing_pattern_means_that_of_Gpt2()
    {
        var tokenizer = TextTokenizer.Create(Data(pattern: null));
        Assert.Equal(TextTokenizer.Create(Data(WordSplitter.Gpt2Pattern)).Encode("the old mill's 1234 ...\n x"), tokenizer.Encode("the old mill's 1234 ...\n x"));
    }

    [Fact]
    public void Special_tokens_above_the_vocabulary_count()
    {
        var data = Data();
        int above = data.Tokens.Count + 5;
        var tokenizer = TextTokenizer.Create(data with { SpecialTokens = new Dictionary<string, int> { ["<|later|>"] = above } });
        Assert.Equal(above + 1, tokenizer.VocabularySize);
        Assert.Equal([above], tokenizer.Encode("<|later|>", addBos: false, parseSpecial: true));
        Assert.Equal("", tokenizer.Decode([above, above - 1]));
    }

    [Fact]
    public void One_long_word_takes_seconds_not_minutes()
    {
        var tokenizer = TextTokenizer.Create(Data());
        string text = new('a', 100_000);
        var clock = Stopwatch.StartNew();
        int[] ids = tokenizer.Encode(text);
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(30), $"took {clock.Elapsed}");
        Assert.Equal(text, tokenizer.Decode(ids));
    }

    [Fact]
    public void Contradictions_are_refused()
    {
        var data = Data();
        Refused(data with { Merges = ["x nowhere"] }, "merges");
        Refused(data with { Merges = ["nospace"] }, "merges");
        Refused(data with { SplitPattern = "(" }, "split expression");
        Refused(data with { Types = [1] }, "piece types");
        Refused(data with { Tokens = [], Types = [], Merges = [] }, "vocabulary");

        static void Refused(TokenizerData data, string part) =>
            Assert.Contains(part, Assert.Throws<ModelFormatException>(() => TextTokenizer.Create(data)).Message, StringComparison.Ordinal);
    }
}
