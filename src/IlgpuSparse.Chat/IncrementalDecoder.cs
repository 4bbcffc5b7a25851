using System.Text;

namespace IlgpuSparse.Chat;

/// <summary>
/// Turns ids into text as they come. Only whole characters come out: bytes of a character that several tokens spell are held back until it is complete. The pieces
/// together are exactly what <see cref="TextTokenizer.Decode"/> makes of all ids at once; each id costs its own length only.
/// </summary>
public sealed class IncrementalDecoder
{
    private readonly PieceBytes _pieces;
    private readonly Decoder _utf8 = Encoding.UTF8.GetDecoder();
    private bool _dropSpace;
    private char[] _buffer = new char[64];

    internal IncrementalDecoder(PieceBytes pieces, bool continuation)
    {
        _pieces = pieces;
        _dropSpace = pieces.DropsFirstSpace && !continuation;
    }

    /// <summary>Adds <paramref name="id"/> and returns the text that is complete now; empty for control tokens and for the first bytes of a character.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The id is negative.</exception>
    public string Append(int id)
    {
        var bytes = _pieces[id];
        if (bytes.IsEmpty) return "";
        if (_dropSpace)
        {
            _dropSpace = false;
            if (_pieces.BeginsWithSpace(id)) bytes = bytes[1..];
        }
        return Read(bytes, flush: false);
    }

    /// <summary>Ends the text: bytes that never became a character come out as U+FFFD.</summary>
    public string Flush() => Read([], flush: true);

    private string Read(ReadOnlySpan<byte> bytes, bool flush)
    {
        int most = bytes.Length + 4; // held-back bytes can add a replacement and a surrogate pair
        if (_buffer.Length < most) _buffer = new char[most];
        int written = _utf8.GetChars(bytes, _buffer, flush);
        return written == 0 ? "" : new string(_buffer, 0, written);
    }
}
