using System.Text;

namespace IlgpuSparse.Tests.Chat;

/// <summary>Random well-formed text: words, runs of spaces and marks, accents, CJK, emoji with joiners and flags, letters above U+FFFF, controls.</summary>
internal static class RandomText
{
    private static readonly string[] Pieces =
    [
        " ", "  ", "\n", "\r\n", "\t", "the ", "The", "ing", "aaaa", "eeee", "......", "--", "'s", "don't", "42", "3.14159", "é", "e\u0301", "o\u0308\u0304", "ā", "ß", "Привет", "漢字",
        "かな", "한국어", "\u3000", "\u00A0", "😀", "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "𝐇𝐞𝐥𝐥𝐨", "𠀀", "𝟘𝟙", "\uFFFD", "\uFEFF", "\u0000", "\u007F", "\u2581", "<0x41>", "<s>", "</s>", "<unk>", "<|end|>", "\u200D", "\u2047", "Ġ", "Ċ",
    ];

    /// <summary>Up to <paramref name="most"/> pieces, a third of them single random characters of all of Unicode.</summary>
    public static string Next(Random random, int most)
    {
        var text = new StringBuilder();
        for (int i = random.Next(most + 1); i > 0; i--)
        {
            if (random.Next(3) > 0)
            {
                text.Append(Pieces[random.Next(Pieces.Length)]);
                continue;
            }
            int value = random.Next(0x110000 - 0x800);
            text.Append(new Rune(value >= 0xD800 ? value + 0x800 : value).ToString());
        }
        return text.ToString();
    }

    /// <summary>The text with every character visible, for failure messages.</summary>
    public static string Show(string text) => System.Text.Json.JsonSerializer.Serialize(text);
}
