using System.Text;

namespace IlgpuSparse.Chat;

/// <summary>
/// GPT-2's spelling of bytes as printable characters: bytes that Latin-1 prints stand for themselves, the other 68 for U+0100 onwards in order, so that a space is 'Ġ' and a
/// line feed 'Ċ'. Byte-level BPE vocabularies are written in it.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] CharOfByte = BuildCharOfByte();
    private static readonly short[] ByteOfChar = BuildByteOfChar();

    /// <summary>The character that spells <paramref name="value"/>.</summary>
    public static char Char(byte value) => CharOfByte[value];

    /// <summary>The bytes that <paramref name="piece"/> spells; a piece with characters outside the alphabet (an added token) stands for its own UTF-8.</summary>
    public static byte[] Bytes(string piece)
    {
        var bytes = new byte[piece.Length];
        for (int i = 0; i < piece.Length; i++)
        {
            int value = piece[i] < ByteOfChar.Length ? ByteOfChar[piece[i]] : -1;
            if (value < 0) return Encoding.UTF8.GetBytes(piece);
            bytes[i] = (byte)value;
        }
        return bytes;
    }

    private static char[] BuildCharOfByte()
    {
        var table = new char[256];
        int next = 256;
        for (int b = 0; b < 256; b++)
        {
            bool printable = b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            table[b] = (char)(printable ? b : next++);
        }
        return table;
    }

    private static short[] BuildByteOfChar()
    {
        var table = new short[256 + 68];
        Array.Fill(table, (short)-1);
        for (int b = 0; b < 256; b++) table[CharOfByte[b]] = (short)b;
        return table;
    }
}
