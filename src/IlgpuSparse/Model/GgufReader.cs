using System.Buffers.Binary;
using System.Text;

namespace IlgpuSparse.Model;

/// <summary>
/// Reads the header of a mapped GGUF file from front to back. No count is believed: a string or array must fit the bytes that are left before anything is allocated for it.
/// </summary>
internal sealed class GgufReader(MappedFile file)
{
    private const int LongestString = 1 << 24;
    private const int LongestArray = 1 << 24;
    private const int DeepestArray = 4;

    /// <summary>Bytes read so far.</summary>
    public long Position { get; private set; }

    /// <summary>Bytes that are left.</summary>
    public long Remaining => file.Length - Position;

    public uint UInt32(string what) => BinaryPrimitives.ReadUInt32LittleEndian(Take(sizeof(uint), what));

    public ulong UInt64(string what) => BinaryPrimitives.ReadUInt64LittleEndian(Take(sizeof(ulong), what));

    /// <summary>A count of things of which each takes at least <paramref name="leastBytes"/> bytes.</summary>
    public int Count(string what, int leastBytes, int most)
    {
        ulong count = UInt64(what);
        if (count > (ulong)most) throw Bad($"{what} is {count}, the limit is {most}");
        if ((long)count * leastBytes > Remaining) throw Bad($"{what} is {count}, more than the {Remaining} bytes that are left can hold: cut short or damaged");
        return (int)count;
    }

    /// <summary>A UTF-8 string; what is not UTF-8 in it becomes U+FFFD.</summary>
    public string String(string what, int longest = LongestString)
    {
        int length = Count($"the length of {what}", 1, longest);
        return Encoding.UTF8.GetString(Take(length, what));
    }

    /// <summary>
    /// A metadata value with its type before it: <see cref="ulong"/>, <see cref="long"/>, <see cref="double"/>, <see cref="bool"/>, <see cref="string"/>, or an array of one of those
    /// or of arrays.
    /// </summary>
    public object Value(string key) => Value(key, UInt32($"the type of '{key}'"), 0);

    private object Value(string key, uint type, int depth) => (GgufType)type switch
    {
        GgufType.UInt8 => (ulong)Take(1, key)[0],
        GgufType.Int8 => (long)(sbyte)Take(1, key)[0],
        GgufType.UInt16 => (ulong)BinaryPrimitives.ReadUInt16LittleEndian(Take(2, key)),
        GgufType.Int16 => (long)BinaryPrimitives.ReadInt16LittleEndian(Take(2, key)),
        GgufType.UInt32 => (ulong)UInt32(key),
        GgufType.Int32 => (long)BinaryPrimitives.ReadInt32LittleEndian(Take(4, key)),
        GgufType.UInt64 => UInt64(key),
        GgufType.Int64 => BinaryPrimitives.ReadInt64LittleEndian(Take(8, key)),
        GgufType.Float32 => (double)BinaryPrimitives.ReadSingleLittleEndian(Take(4, key)),
        GgufType.Float64 => BinaryPrimitives.ReadDoubleLittleEndian(Take(8, key)),
        GgufType.Bool => Take(1, key)[0] switch
        {
            0 => false,
            1 => true,
            byte other => throw Bad($"the truth value '{key}' is {other}, it must be 0 or 1"),
        },
        GgufType.String => String($"'{key}'"),
        GgufType.Array => Array(key, depth + 1),
        _ => throw Bad($"'{key}' has the unknown value type {type}"),
    };

    private object Array(string key, int depth)
    {
        if (depth > DeepestArray) throw Bad($"'{key}' nests arrays more than {DeepestArray} deep");
        uint type = UInt32($"the element type of '{key}'");
        int count = Count($"the length of '{key}'", LeastBytes(key, type), LongestArray);
        return (GgufType)type switch
        {
            GgufType.UInt8 or GgufType.UInt16 or GgufType.UInt32 or GgufType.UInt64 => Fill<ulong>(),
            GgufType.Int8 or GgufType.Int16 or GgufType.Int32 or GgufType.Int64 => Fill<long>(),
            GgufType.Float32 or GgufType.Float64 => Fill<double>(),
            GgufType.Bool => Fill<bool>(),
            GgufType.String => Fill<string>(),
            _ => Fill<object>(),
        };

        T[] Fill<T>()
        {
            var values = new T[count];
            for (int i = 0; i < count; i++) values[i] = (T)Value(key, type, depth);
            return values;
        }
    }

    private int LeastBytes(string key, uint type) => (GgufType)type switch
    {
        GgufType.UInt8 or GgufType.Int8 or GgufType.Bool => 1,
        GgufType.UInt16 or GgufType.Int16 => 2,
        GgufType.UInt32 or GgufType.Int32 or GgufType.Float32 => 4,
        GgufType.UInt64 or GgufType.Int64 or GgufType.Float64 or GgufType.String => 8,
        GgufType.Array => 12,
        _ => throw Bad($"'{key}' has the unknown element type {type}"),
    };

    private ReadOnlySpan<byte> Take(int count, string what)
    {
        if (count > Remaining) throw Bad($"the file ends at byte {file.Length}, inside {what}: cut short or damaged");
        var bytes = file.Span(Position, count);
        Position += count;
        return bytes;
    }

    private ModelFormatException Bad(string problem) => new(file.Path, problem);
}
