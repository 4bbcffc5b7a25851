using System.Buffers.Binary;
using System.Text;

namespace IlgpuSparse.Chat;

/// <summary>Reads the fields of one protocol buffers message, in order, without trusting any length.</summary>
internal ref struct ProtobufReader
{
    private readonly string _source;
    private ReadOnlySpan<byte> _rest;
    private ulong _number;
    private ReadOnlySpan<byte> _bytes;

    /// <summary>Reads <paramref name="message"/>; <paramref name="source"/> names the file in messages.</summary>
    public ProtobufReader(string source, ReadOnlySpan<byte> message)
    {
        _source = source;
        _rest = message;
    }

    /// <summary>Number of the field that <see cref="Next"/> stopped at.</summary>
    public int Field { get; private set; }

    /// <summary>How the field is stored: 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes.</summary>
    public int WireType { get; private set; }

    /// <summary>Moves to the next field; false at the end.</summary>
    /// <exception cref="Model.ModelFormatException">The message is damaged.</exception>
    public bool Next()
    {
        if (_rest.IsEmpty) return false;
        ulong tag = Varint();
        Field = tag >> 3 is > 0 and <= 0x1FFFFFFF ? (int)(tag >> 3) : throw Damaged($"field number {tag >> 3}");
        WireType = (int)(tag & 7);
        switch (WireType)
        {
            case 0:
                _number = Varint();
                break;
            case 1:
                _number = BinaryPrimitives.ReadUInt64LittleEndian(Take(8));
                break;
            case 2:
                _bytes = Take(Varint());
                break;
            case 5:
                _number = BinaryPrimitives.ReadUInt32LittleEndian(Take(4));
                break;
            default:
                throw Damaged($"wire type {WireType} of field {Field}");
        }
        return true;
    }

    /// <summary>The field as a 32-bit integer; protobuf writes negative ones as ten bytes.</summary>
    public readonly int Int32() => WireType == 0 ? (int)_number : throw Damaged($"field {Field} is not an integer");

    /// <summary>The field as a truth value.</summary>
    public readonly bool Bool() => Int32() != 0;

    /// <summary>The field as a single.</summary>
    public readonly float Single() => WireType == 5 ? BitConverter.UInt32BitsToSingle((uint)_number) : throw Damaged($"field {Field} is not a single");

    /// <summary>The field as bytes or an embedded message.</summary>
    public readonly ReadOnlySpan<byte> Bytes() => WireType == 2 ? _bytes : throw Damaged($"field {Field} is not length-delimited");

    /// <summary>The field as text.</summary>
    public readonly string Text() => Encoding.UTF8.GetString(Bytes());

    private ulong Varint()
    {
        ulong value = 0;
        for (int i = 0; i < _rest.Length && i < 10; i++)
        {
            value |= (ulong)(_rest[i] & 0x7F) << (7 * i);
            if (_rest[i] < 0x80)
            {
                _rest = _rest[(i + 1)..];
                return value;
            }
        }
        throw Damaged("an integer does not end");
    }

    private ReadOnlySpan<byte> Take(ulong length)
    {
        if (length > (ulong)_rest.Length) throw Damaged($"{length} bytes are announced, {_rest.Length} are left");
        var taken = _rest[..(int)length];
        _rest = _rest[(int)length..];
        return taken;
    }

    private readonly Model.ModelFormatException Damaged(string what) => new(_source, $"damaged SentencePiece model: {what}");
}
