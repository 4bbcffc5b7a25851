using System.Diagnostics;
using System.Text.Json;
using IlgpuSparse.Chat;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Chat;

/// <summary>SentencePiece encoding against ids made by google/sentencepiece 0.1.97 and against the model's own reference.</summary>
public class SentencePieceTests
{
    private sealed record Sample(string Text, int[] Ids, int[] IdsWithoutPrefix, int[] IdsWithoutExtraSpaces);

    private sealed record Reference(string Prompt, int[] Ids, int[] Greedy, string GreedyText);

    private static readonly JsonSerializerOptions CamelCase = new(JsonSerializerDefaults.Web);

    private static readonly JsonSerializerOptions SnakeCase = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    private static Sample[] Samples() =>
        JsonSerializer.Deserialize<Sample[]>(File.ReadAllBytes(TestFiles.Data("tokenizer/books-16m.sentencepiece.json")), CamelCase)!;

    private static Reference[] References() =>
        JsonSerializer.Deserialize<Reference[]>(File.ReadAllBytes(TestFiles.Data("books-16m.reference.json")), SnakeCase)!;

    [Fact]
    public void Every_sample_has_the_ids_of_the_original_implementation()
    {
        var plain = TextTokenizer.Create(TestTokenizers.SentencePieceFile());
        var withoutPrefix = TextTokenizer.Create(TestTokenizers.SentencePieceFile(addPrefix: false, removeExtra: false));
        var withoutExtra = TextTokenizer.Create(TestTokenizers.SentencePieceFile(addPrefix: true, removeExtra: true));
        var samples = Samples();
        Assert.True(samples.Length > 150);
        foreach (var sample in samples)
        {
            AssertIds(sample.Ids, plain, sample.Text);
            AssertIds(sample.IdsWithoutPrefix, withoutPrefix, sample.Text);
            AssertIds(sample.IdsWithoutExtraSpaces, withoutExtra, sample.Text);
        }

        static void AssertIds(int[] expected, TextTokenizer tokenizer, string text)
        {
            int[] ids = tokenizer.Encode(text, addBos: false);
            Assert.True(expected.AsSpan().SequenceEqual(ids), $"{RandomText.Show(text)}: expected {string.Join(' ', expected)}, got {string.Join(' ', ids)}");
        }
    }

    [Fact]
    public void Reference_prompts_and_continuations_match()
    {
        var tokenizer = TextTokenizer.Create(TestTokenizers.SentencePieceFile());
        var references = References();
        Assert.Equal(3, references.Length);
        foreach (var reference in references)
        {
            Assert.Equal(reference.Ids, tokenizer.Encode(reference.Prompt));
            Assert.Equal(reference.Prompt, tokenizer.Decode(reference.Ids));
            Assert.Equal(reference.GreedyText, tokenizer.Decode(reference.Greedy));
        }
    }

    [Fact]
    public void Lists_and_serialised_model_give_the_same_ids()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        var file = TextTokenizer.Create(TestTokenizers.SentencePieceFile());
        var lists = TextTokenizer.Create(TestTokenizers.SentencePieceLists());
        Assert.Equal(file.VocabularySize, lists.VocabularySize);
        Assert.Equal((1, 2), (file.BosId, file.EosIds.Single()));
        string book = string.Concat(References().Select(r => r.Prompt));
        for (int i = 0; i < 200; i++)
        {
            int start = random.Next(book.Length - 300);
            string text = i % 2 == 0 ? RandomText.Next(random, 40) : book.Substring(start, random.Next(300));
            Assert.True(file.Encode(text).AsSpan().SequenceEqual(lists.Encode(text)), $"seed {seed}: {RandomText.Show(text)}");
        }
    }

    [Fact]
    public void The_embedded_model_carries_the_tokenizer_that_its_text_was_made_with()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        using var model = ModelFile.Open(TestFiles.Model);
        var embedded = TextTokenizer.Create(model.Tokenizer!);
        var file = TextTokenizer.Create(TestTokenizers.SentencePieceFile());
        Assert.Equal((file.VocabularySize, file.BosId), (embedded.VocabularySize, embedded.BosId));
        Assert.Equal(file.EosIds, embedded.EosIds);
        foreach (string text in References().Select(r => r.Prompt).Concat(Enumerable.Range(0, 200).Select(_ => RandomText.Next(random, 40))))
            Assert.True(file.Encode(text).AsSpan().SequenceEqual(embedded.Encode(text)), $"seed {seed}: {RandomText.Show(text)}");
    }

    [Fact]
    public void Control_tokens_in_plain_text_stay_text_unless_asked_for()
    {
        // "s>" and "</" as pieces make a merge to "</s>" possible for an encoder that does not look at types.
        var data = TestTokenizers.SentencePieceLists();
        data = data with
        {
            Tokens = [.. data.Tokens, "</", "s>"],
            Scores = [.. data.Scores, 5, 5],
            Types = [.. data.Types, 1, 1],
        };
        var tokenizer = TextTokenizer.Create(data);
        int[] plain = tokenizer.Encode("<s>a</s>", addBos: false);
        Assert.DoesNotContain(1, plain);
        Assert.DoesNotContain(2, plain);
        Assert.Equal("<s>a</s>", tokenizer.Decode(plain));
        int a = tokenizer.Encode("a", addBos: false).Single();
        Assert.Equal([1, a, 2], tokenizer.Encode("<s>a</s>", addBos: false, parseSpecial: true));
        Assert.Equal("a", tokenizer.Decode([1, a, 2]));
    }

    [Fact]
    public void Empty_text_is_the_beginning_token_alone()
    {
        var tokenizer = TextTokenizer.Create(TestTokenizers.SentencePieceFile());
        Assert.Equal([1], tokenizer.Encode(""));
        Assert.Empty(tokenizer.Encode("", addBos: false));
        Assert.Equal("", tokenizer.Decode([1]));
        Assert.Equal("", tokenizer.Decode([]));
        var without = TextTokenizer.Create(TestTokenizers.SentencePieceFile() with { AddBos = false });
        Assert.Empty(without.Encode(""));
    }

    [Fact]
    public void Unpaired_surrogates_become_the_replacement_character()
    {
        var tokenizer = TextTokenizer.Create(TestTokenizers.SentencePieceFile());
        Assert.Equal("x\uFFFDy\uFFFD", tokenizer.Decode(tokenizer.Encode("x\uD800y\uDC00")));
    }

    [Fact]
    public void Unused_pieces_are_taken_apart_and_unknown_runs_are_one_token()
    {
        // Without byte pieces; "abc" is unused and comes about as a + bc.
        string[] pieces = ["<unk>", "▁", "a", "b", "c", "bc", "abc", "▁a"];
        var tokenizer = TextTokenizer.Create(new TokenizerData
        {
            Kind = TokenizerKind.SentencePiece,
            Source = "lists",
            Tokens = pieces,
            Scores = [0, -9, -9, -9, -9, -1, -2, -8],
            Types = [2, 1, 1, 1, 1, 1, 5, 1],
        });
        Assert.Equal([1, 2, 5], tokenizer.Encode("abc"));
        Assert.Equal([1, 0, 2, 0], tokenizer.Encode("漢字a字"));
        Assert.Null(tokenizer.BosId);
    }

    [Fact]
    public void A_megabyte_takes_seconds_not_minutes()
    {
        var tokenizer = TextTokenizer.Create(TestTokenizers.SentencePieceFile());
        string text = string.Concat(Enumerable.Repeat("aaaaaaaa", 64 * 1024)) + string.Concat(Enumerable.Repeat("It was a dark night. ", 25 * 1024));
        var clock = Stopwatch.StartNew();
        int[] ids = tokenizer.Encode(text);
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(30), $"{text.Length} characters took {clock.Elapsed}");
        Assert.Equal(text, tokenizer.Decode(ids));
    }

    [Fact]
    public void Damaged_models_end_in_one_message()
    {
        byte[] good = File.ReadAllBytes(TestFiles.Data("tokenizer/books-16m.model"));
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        for (int i = 0; i < 300; i++)
        {
            byte[] bad = good[..random.Next(good.Length)];
            for (int flips = random.Next(4); flips > 0 && bad.Length > 0; flips--) bad[random.Next(bad.Length)] ^= (byte)(1 << random.Next(8));
            try
            {
                TextTokenizer.Create(TestTokenizers.SentencePieceFile(bad));
            }
            catch (ModelFormatException e)
            {
                Assert.StartsWith("books-16m.model: ", e.Message, StringComparison.Ordinal);
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed}: {e}");
            }
        }
        var empty = Assert.Throws<ModelFormatException>(() => TextTokenizer.Create(TestTokenizers.SentencePieceFile([])));
        Assert.Contains("no pieces", empty.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Contradicting_lists_are_refused()
    {
        var data = TestTokenizers.SentencePieceLists();
        Refused(data with { Scores = [1, 2] }, "2 scores");
        Refused(data with { Types = [1] }, "1 piece types");
        Refused(data with { Types = [.. data.Types.Select(t => t == 2 ? 9 : t)] }, "unknown type 9");
        Refused(data with { BosId = 5000 }, "5000");
        Refused(data with { SpecialTokens = new Dictionary<string, int> { ["<x>"] = int.MaxValue } }, "<x>");
        Refused(data with { Types = [.. data.Types.Select(t => t is 6 or 2 ? 1 : t)], UnknownId = null }, "unknown token");

        static void Refused(TokenizerData data, string part) =>
            Assert.Contains(part, Assert.Throws<ModelFormatException>(() => TextTokenizer.Create(data)).Message, StringComparison.Ordinal);
    }
}
