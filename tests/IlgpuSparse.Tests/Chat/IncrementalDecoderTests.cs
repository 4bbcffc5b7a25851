using System.Diagnostics;
using System.Text;
using IlgpuSparse.Chat;

namespace IlgpuSparse.Tests.Chat;

/// <summary>Streaming: deltas are whole characters and together the text.</summary>
public class IncrementalDecoderTests
{
    public static TheoryData<string> Kinds => ["sentencepiece", "byte-level"];

    private static TextTokenizer Tokenizer(string kind) => TextTokenizer.Create(kind == "sentencepiece" ? TestTokenizers.SentencePieceLists()
        : TestTokenizers.TrainByteLevel("the theme there 漢字 漢 😀 😀 é é aaaa the".Split(' ').SelectMany(w => new[] { w, " " + w }), 40));

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Random_text_survives_the_round_trip_and_deltas_join_to_it(string kind)
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        var tokenizer = Tokenizer(kind);
        for (int i = 0; i < 400; i++)
        {
            string text = RandomText.Next(random, 30).Replace("\u2581", "_", StringComparison.Ordinal); // SentencePiece writes spaces so and cannot tell them apart
            int[] ids = tokenizer.Encode(text);
            string where = $"seed {seed}: {RandomText.Show(text)}";
            Assert.True(text == tokenizer.Decode(ids), where);
            Assert.True(text == Stream(tokenizer.CreateDecoder(), ids, where), where);
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Random_ids_stream_to_what_decoding_them_at_once_gives(string kind)
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        var tokenizer = Tokenizer(kind);
        for (int i = 0; i < 400; i++)
        {
            // Mostly byte pieces: broken and overlong sequences, characters cut off by text or by the end.
            int[] ids = [.. Enumerable.Range(0, random.Next(30)).Select(_ => random.Next(3) > 0 ? random.Next(3, 262) : random.Next(tokenizer.VocabularySize + 3))];
            string where = $"seed {seed}: {string.Join(' ', ids)}";
            string whole = tokenizer.Decode(ids);
            Assert.True(whole == Stream(tokenizer.CreateDecoder(), ids, where), where);
            Assert.True(Runes(whole), where);
        }
    }

    [Fact]
    public void A_continuation_keeps_its_space_and_a_text_of_its_own_does_not()
    {
        var tokenizer = Tokenizer("sentencepiece");
        int[] prompt = tokenizer.Encode("It was a dark");
        int[] more = tokenizer.Encode("night, and the old captain", addBos: false);
        Assert.Equal("night, and the old captain", Stream(tokenizer.CreateDecoder(), more, ""));
        string continued = Stream(tokenizer.CreateDecoder(continuation: true), more, "");
        Assert.Equal(" night, and the old captain", continued);
        Assert.Equal(tokenizer.Decode([.. prompt, .. more]), tokenizer.Decode(prompt) + continued);
        Assert.Equal("  x", tokenizer.Decode(tokenizer.Encode("  x")));
    }

    [Fact]
    public void Bytes_are_held_back_until_the_character_is_whole()
    {
        var decoder = Tokenizer("sentencepiece").CreateDecoder();
        byte[] smile = Encoding.UTF8.GetBytes("😀");
        Assert.Equal(["", "", "", "😀"], smile.Select(b => decoder.Append(4 + b)));
        Assert.Equal("", decoder.Append(4 + smile[0]));
        Assert.Equal("\uFFFDa", decoder.Append(4016)); // "a" cuts the character off
        Assert.Equal("", decoder.Append(4 + smile[0]));
        Assert.Equal("\uFFFD", decoder.Flush());
        Assert.Equal("", decoder.Flush());
        Assert.Throws<ArgumentOutOfRangeException>(() => decoder.Append(-1));
        Assert.Equal("\uFFFD", decoder.Append(1_000_000));
    }

    [Fact]
    public void Time_is_linear_in_the_number_of_ids()
    {
        var tokenizer = Tokenizer("sentencepiece");
        int[] ids = [.. Enumerable.Range(0, 1_000_000).Select(i => 300 + i % 3000)];
        var clock = Stopwatch.StartNew();
        var decoder = tokenizer.CreateDecoder();
        long length = 0;
        foreach (int id in ids) length += decoder.Append(id).Length;
        Assert.True(length > ids.Length);
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(20), $"a million ids took {clock.Elapsed}");
    }

    private static string Stream(IncrementalDecoder decoder, int[] ids, string where)
    {
        var text = new StringBuilder();
        foreach (int id in ids)
        {
            string delta = decoder.Append(id);
            Assert.True(Runes(delta), $"half a character came out; {where}");
            text.Append(delta);
        }
        return text.Append(decoder.Flush()).ToString();
    }

    /// <summary>Whether every surrogate has its partner.</summary>
    private static bool Runes(string text)
    {
        for (int i = 0; i < text.Length; i += char.IsHighSurrogate(text[i]) ? 2 : 1)
        {
            if (char.IsLowSurrogate(text[i]) || (char.IsHighSurrogate(text[i]) && (i + 1 == text.Length || !char.IsLowSurrogate(text[i + 1])))) return false;
        }
        return true;
    }
}
