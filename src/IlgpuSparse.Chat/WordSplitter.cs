using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using IlgpuSparse.Model;
using Microsoft.ML.Tokenizers;

namespace IlgpuSparse.Chat;

/// <summary>
/// Splits text by a model's regular expression before BPE. Such expressions count characters, .NET's count UTF-16 units and know no category for half a character; so every
/// character above U+FFFF is shown to the expression as one stand-in of the same Unicode category. What no match covers is a word of its own.
/// </summary>
internal sealed class WordSplitter : PreTokenizer
{
    /// <summary>GPT-2's expression, for byte-level models whose file names none.</summary>
    public const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10); // the expression comes from a file: it must not hang the process
    private readonly Regex _pattern;

    /// <summary>Compiles <paramref name="pattern"/>; <paramref name="source"/> names the file in messages.</summary>
    /// <exception cref="ModelFormatException">It is not a regular expression that .NET understands.</exception>
    public WordSplitter(string pattern, string source)
    {
        try
        {
            _pattern = new Regex(pattern, RegexOptions.Compiled | RegexOptions.CultureInvariant, Limit);
        }
        catch (ArgumentException e)
        {
            throw new ModelFormatException(source, $"the tokenizer's split expression is not usable: {e.Message}", e);
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<(int Offset, int Length)> PreTokenize(ReadOnlySpan<char> text) => PreTokenize(text.ToString());

    /// <inheritdoc/>
    public override IEnumerable<(int Offset, int Length)> PreTokenize(string text)
    {
        string shadow = text;
        int[]? places = null; // of each shadow character in the text
        if (text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') >= 0) shadow = Shadow(text, out places);
        int covered = 0;
        for (var match = _pattern.Match(shadow); match.Success; match = match.NextMatch())
        {
            if (match.Length == 0) continue;
            if (match.Index > covered) yield return Word(covered, match.Index);
            covered = match.Index + match.Length;
            yield return Word(match.Index, covered);
        }
        if (covered < shadow.Length) yield return Word(covered, shadow.Length);

        (int Offset, int Length) Word(int start, int end) => places is null ? (start, end - start) : (places[start], places[end] - places[start]);
    }

    private static string Shadow(string text, out int[] places)
    {
        var shadow = new StringBuilder(text.Length);
        var at = new List<int>(text.Length + 1);
        int place = 0;
        foreach (var rune in text.EnumerateRunes())
        {
            shadow.Append(rune.IsBmp ? (char)rune.Value : StandIn(Rune.GetUnicodeCategory(rune)));
            at.Add(place);
            place += rune.Utf16SequenceLength;
        }
        at.Add(place);
        places = [.. at];
        return shadow.ToString();
    }

    /// <summary>A character of the category that no expression names literally.</summary>
    private static char StandIn(UnicodeCategory category) => category switch
    {
        UnicodeCategory.UppercaseLetter => '\u00C0',
        UnicodeCategory.LowercaseLetter => '\u00E0',
        UnicodeCategory.TitlecaseLetter => '\u01C5',
        UnicodeCategory.ModifierLetter => '\u02B0',
        UnicodeCategory.OtherLetter => '\u01BB',
        UnicodeCategory.NonSpacingMark => '\u0300',
        UnicodeCategory.SpacingCombiningMark => '\u0903',
        UnicodeCategory.EnclosingMark => '\u20DD',
        UnicodeCategory.DecimalDigitNumber => '\u0660',
        UnicodeCategory.LetterNumber => '\u2160',
        UnicodeCategory.OtherNumber => '\u00B2',
        UnicodeCategory.ConnectorPunctuation or UnicodeCategory.DashPunctuation or UnicodeCategory.OpenPunctuation or UnicodeCategory.ClosePunctuation
            or UnicodeCategory.InitialQuotePunctuation or UnicodeCategory.FinalQuotePunctuation or UnicodeCategory.OtherPunctuation => '\u2020',
        UnicodeCategory.Format => '\u200B',
        UnicodeCategory.PrivateUse => '\uE000',
        UnicodeCategory.OtherNotAssigned => '\u0378',
        _ => '\u00A9', // the symbols
    };
}
