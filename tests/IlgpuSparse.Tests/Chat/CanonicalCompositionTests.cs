using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using IlgpuSparse.Chat;

namespace IlgpuSparse.Tests.Chat;

/// <summary>Normalisation form C against Python's unicodedata (Unicode 14.0.0).</summary>
public class CanonicalCompositionTests
{
    [Fact]
    public void Samples_come_out_as_in_another_implementation()
    {
        string[][] samples = JsonSerializer.Deserialize<string[][]>(File.ReadAllBytes(TestFiles.Data("tokenizer/nfc.json")))!;
        Assert.True(samples.Count(s => s[0] != s[1]) > 150);
        foreach (string[] sample in samples)
        {
            string composed = CanonicalComposition.Of(sample[0]);
            Assert.True(sample[1] == composed, $"{RandomText.Show(sample[0])}: expected {RandomText.Show(sample[1])}, got {RandomText.Show(composed)}");
            Assert.Equal(composed, CanonicalComposition.Of(composed));
        }
    }

    [Fact]
    public void Every_character_alone_does()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        for (int c = 0; c < 0x110000; c++)
            if (Rune.IsValid(c)) hash.AppendData(Encoding.UTF8.GetBytes(CanonicalComposition.Of(new Rune(c).ToString()) + "\n"));
        Assert.Equal("9cc65524a9d8082bf10840c616cd199bd2ac12ee49a3381bd6fb7957711f342b", Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    [Fact]
    public void Plain_text_is_handed_through()
    {
        string text = new("Plain text, naïve café: nothing to do.");
        Assert.Same(text, CanonicalComposition.Of(text));
        Assert.Equal("", CanonicalComposition.Of(""));
    }

    [Fact]
    public void A_text_of_nothing_but_marks_is_ordered_in_one_go()
    {
        // would take hours if every mark were moved past all others
        string marks = "a" + string.Concat(Enumerable.Repeat("\u0301\u0323", 200_000));
        string composed = CanonicalComposition.Of(marks);
        Assert.Equal('ạ', composed[0]);
        Assert.Equal(marks.Length - 1, composed.Length);
        Assert.All(composed.Skip(1).Take(199_999), c => Assert.Equal('\u0323', c));
    }
}
