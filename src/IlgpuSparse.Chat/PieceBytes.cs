using System.Globalization;
using System.Text;
using IlgpuSparse.Model;

namespace IlgpuSparse.Chat;

/// <summary>What every id adds to the output, as UTF-8 bytes: a byte-level or byte-fallback piece may be a part of a character.</summary>
internal sealed class PieceBytes
{
    private static readonly byte[] Replacement = "\uFFFD"u8.ToArray();
    private readonly byte[] _data;
    private readonly int[] _starts; // [id + 1]
    private readonly bool[] _prefixed; // a SentencePiece piece that begins with its space

    private PieceBytes(IReadOnlyList<byte[]> pieces, bool[] prefixed, bool dropsFirstSpace)
    {
        _starts = new int[pieces.Count + 1];
        for (int id = 0; id < pieces.Count; id++) _starts[id + 1] = checked(_starts[id] + pieces[id].Length);
        _data = new byte[_starts[^1]];
        for (int id = 0; id < pieces.Count; id++) pieces[id].CopyTo(_data, _starts[id]);
        _prefixed = prefixed;
        DropsFirstSpace = dropsFirstSpace;
    }

    /// <summary>Number of ids.</summary>
    public int Count => _prefixed.Length;

    /// <summary>Whether the space at the beginning of a text was put there by the tokenizer.</summary>
    public bool DropsFirstSpace { get; }

    /// <summary>Bytes of <paramref name="id"/>: none for control tokens, U+FFFD for an id beyond the vocabulary (padding rows of the output matrix).</summary>
    public ReadOnlySpan<byte> this[int id]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfNegative(id);
            return id < Count ? _data.AsSpan(_starts[id].._starts[id + 1]) : Replacement;
        }
    }

    /// <summary>Whether <paramref name="id"/> is a text piece that begins with a space.</summary>
    public bool BeginsWithSpace(int id) => id < Count && _prefixed[id];

    /// <summary>Of a SentencePiece vocabulary; ids above it (<paramref name="count"/> in all) are control tokens that were added later.</summary>
    public static PieceBytes Of(SentencePieceVocabulary vocabulary, int count)
    {
        var pieces = new byte[count][];
        var prefixed = new bool[count];
        for (int id = 0; id < count; id++)
        {
            if (id >= vocabulary.Pieces.Length)
            {
                pieces[id] = [];
                continue;
            }
            string piece = vocabulary.Pieces[id];
            switch (vocabulary.Types[id])
            {
                case PieceType.Control:
                    pieces[id] = [];
                    break;
                case PieceType.Unknown:
                    pieces[id] = Encoding.UTF8.GetBytes(" \u2047 "); // as SentencePiece shows it
                    break;
                case PieceType.Byte:
                    pieces[id] = TryParseByte(piece, out byte value) ? [value]
                        : throw new ModelFormatException(vocabulary.Source, $"piece {id}, \"{piece}\", is marked as a byte but does not read <0x00> to <0xFF>");
                    break;
                default:
                    pieces[id] = Encoding.UTF8.GetBytes(piece.Replace(SentencePieceEncoder.Space, ' '));
                    prefixed[id] = piece.StartsWith(SentencePieceEncoder.Space);
                    break;
            }
        }
        return new PieceBytes(pieces, prefixed, vocabulary.AddSpacePrefix);
    }

    /// <summary>Of a byte-level vocabulary with <paramref name="texts"/> of user-defined tokens and <paramref name="control"/> tokens.</summary>
    public static PieceBytes Of(IReadOnlyList<string> tokens, int count, IReadOnlyDictionary<int, string> texts, IReadOnlySet<int> control)
    {
        var pieces = new byte[count][];
        for (int id = 0; id < count; id++)
        {
            if (control.Contains(id)) pieces[id] = [];
            else if (texts.TryGetValue(id, out string? text)) pieces[id] = Encoding.UTF8.GetBytes(text);
            else pieces[id] = id < tokens.Count ? ByteAlphabet.Bytes(tokens[id]) : [];
        }
        return new PieceBytes(pieces, new bool[count], dropsFirstSpace: false);
    }

    /// <summary>Reads "&lt;0x0A&gt;".</summary>
    public static bool TryParseByte(string piece, out byte value)
    {
        value = 0;
        return piece.Length == 6 && piece.StartsWith("<0x", StringComparison.Ordinal) && piece[5] == '>'
            && byte.TryParse(piece.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);
    }
}
