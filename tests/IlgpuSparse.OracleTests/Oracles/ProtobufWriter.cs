using System.Buffers.Binary;
using System.Text;

namespace IlgpuSparse.OracleTests.Oracles;

/// <summary>Writes one protocol buffers message field by field: all that an ONNX model file needs.</summary>
internal sealed class ProtobufWriter
{
    private readonly List<byte> _bytes = [];

    /// <summary>An integer field.</summary>
    public ProtobufWriter Int(int field, long value)
    {
        Varint((ulong)field << 3);
        Varint((ulong)value);
        return this;
    }

    /// <summary>A single-precision field.</summary>
    public ProtobufWriter Single(int field, float value)
    {
        Varint((ulong)field << 3 | 5);
        Span<byte> four = stackalloc byte[4];
        BinaryPrimitives.WriteSingleLittleEndian(four, value);
        _bytes.AddRange(four);
        return this;
    }

    /// <summary>A text field.</summary>
    public ProtobufWriter Text(int field, string value) => Bytes(field, Encoding.UTF8.GetBytes(value));

    /// <summary>A field that is a message itself.</summary>
    public ProtobufWriter Message(int field, ProtobufWriter message) => Bytes(field, message.ToArray());

    /// <summary>The message so far.</summary>
    public byte[] ToArray() => [.. _bytes];

    private ProtobufWriter Bytes(int field, byte[] value)
    {
        Varint((ulong)field << 3 | 2);
        Varint((ulong)value.Length);
        _bytes.AddRange(value);
        return this;
    }

    private void Varint(ulong value)
    {
        for (; value >= 0x80; value >>= 7) _bytes.Add((byte)(value | 0x80));
        _bytes.Add((byte)value);
    }
}
