using System.Globalization;

namespace IlgpuSparse.Chat;

/// <summary>Canonical decompositions, compositions and combining classes, from the resource <c>canonical.txt</c>; read when first needed.</summary>
internal static class CanonicalTables
{
    // Hangul syllables are not in the tables: they count up from their parts.
    private const int SyllableBase = 0xAC00, LeadBase = 0x1100, VowelBase = 0x1161, TailBase = 0x11A7;
    private const int Leads = 19, Vowels = 21, Tails = 28;

    private static readonly Dictionary<int, (int First, int Second)> s_decompositions = [];
    private static readonly Dictionary<(int First, int Second), int> s_compositions = [];
    private static readonly Dictionary<int, byte> s_classes = [];

    static CanonicalTables()
    {
        using var reader = new StreamReader(typeof(CanonicalTables).Assembly.GetManifestResourceStream("canonical.txt")!);
        while (reader.ReadLine() is { } line)
        {
            if (line[0] == '#') continue;
            string[] parts = line[1..].Split(' ');
            int first = Hex(parts[0]), second = Hex(parts[1]);
            switch (line[0])
            {
                case 'c':
                    for (int c = first; c <= second; c++) s_classes.Add(c, byte.Parse(parts[2], CultureInfo.InvariantCulture));
                    break;
                case '=':
                    s_compositions.Add((second, Hex(parts[2])), first);
                    goto default;
                default:
                    s_decompositions.Add(first, (second, parts.Length > 2 ? Hex(parts[2]) : 0));
                    break;
            }
        }
    }

    /// <summary>Combining class; 0 for a character that begins a sequence.</summary>
    public static int Class(int c) => s_classes.GetValueOrDefault(c);

    /// <summary>One step of the canonical decomposition; the second character is 0 when there is none.</summary>
    public static bool TryDecompose(int c, out (int First, int Second) parts)
    {
        int syllable = c - SyllableBase;
        if ((uint)syllable >= Leads * Vowels * Tails) return s_decompositions.TryGetValue(c, out parts);
        int tail = syllable % Tails, block = syllable / Tails;
        parts = tail > 0 ? (c - tail, TailBase + tail) : (LeadBase + block / Vowels, VowelBase + block % Vowels);
        return true;
    }

    /// <summary>The character that two neighbours become.</summary>
    public static bool TryCompose(int first, int second, out int composed)
    {
        int lead = first - LeadBase, vowel = second - VowelBase, syllable = first - SyllableBase, tail = second - TailBase;
        if ((uint)lead < Leads && (uint)vowel < Vowels)
        {
            composed = SyllableBase + (lead * Vowels + vowel) * Tails;
            return true;
        }
        if ((uint)syllable < Leads * Vowels * Tails && syllable % Tails == 0 && tail is > 0 and < Tails)
        {
            composed = first + tail;
            return true;
        }
        return s_compositions.TryGetValue((first, second), out composed);
    }

    private static int Hex(string text) => int.Parse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
