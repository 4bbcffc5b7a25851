using System.Text;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Model;

/// <summary>Writes small GGUF files, sound or deliberately not.</summary>
internal sealed class GgufWriter
{
    private static readonly Dictionary<WeightFormat, uint> TypeNumbers = new()
    {
        [WeightFormat.F32] = 0,
        [WeightFormat.F16] = 1,
        [WeightFormat.Q4_0] = 2,
        [WeightFormat.Q4_1] = 3,
        [WeightFormat.Q8_0] = 8,
        [WeightFormat.Q4_K] = 12,
        [WeightFormat.Q5_K] = 13,
        [WeightFormat.Q6_K] = 14,
        [WeightFormat.BF16] = 30,
    };

    private readonly List<(string Key, object Value)> _metadata = [];
    private readonly List<(string Name, uint Type, long[] Shape, byte[] Data)> _tensors = [];

    public uint Version { get; init; } = 3;
    public int Alignment { get; init; } = 32;

    /// <summary>Added to every tensor's offset.</summary>
    public ulong OffsetShift { get; init; }

    /// <summary>Adds a value, typed by its .NET type; arrays too.</summary>
    public GgufWriter Set(string key, object value)
    {
        _metadata.Add((key, value));
        return this;
    }

    /// <summary>Replaces a value.</summary>
    public GgufWriter Replace(string key, object value)
    {
        Remove(key);
        return Set(key, value);
    }

    public GgufWriter Remove(string key)
    {
        _metadata.RemoveAll(m => m.Key == key);
        return this;
    }

    public GgufWriter RemoveTensor(string name)
    {
        _tensors.RemoveAll(t => t.Name == name);
        return this;
    }

    /// <summary>Adds a tensor of seeded bytes; <paramref name="shape"/> outermost first.</summary>
    public GgufWriter Tensor(string name, WeightFormat format, params long[] shape)
    {
        var data = new byte[format.ByteLength(shape.Aggregate(1L, (a, b) => a * b))];
        new Random(name.Length * 1000 + name.Sum(c => c)).NextBytes(data);
        return Tensor(name, TypeNumbers[format], shape, data);
    }

    public GgufWriter Tensor(string name, uint type, long[] shape, byte[] data)
    {
        _tensors.Add((name, type, shape, data));
        return this;
    }

    public byte[] ToArray()
    {
        var stream = new MemoryStream();
        var w = new BinaryWriter(stream);
        w.Write("GGUF"u8);
        w.Write(Version);
        w.Write((ulong)_tensors.Count);
        w.Write((ulong)_metadata.Count);
        foreach (var (key, value) in _metadata)
        {
            String(w, key);
            w.Write(Type(value.GetType()));
            Value(w, value);
        }
        ulong offset = OffsetShift;
        foreach (var (name, type, shape, data) in _tensors)
        {
            String(w, name);
            w.Write((uint)shape.Length);
            foreach (long size in shape.Reverse()) w.Write((ulong)size);
            w.Write(type);
            w.Write(offset);
            offset += (ulong)Aligned(data.Length);
        }
        foreach (var (_, _, _, data) in _tensors)
        {
            w.Write(new byte[Aligned(stream.Length) - stream.Length]);
            w.Write(data);
        }
        return stream.ToArray();
    }

    private long Aligned(long position) => (position + Alignment - 1) / Alignment * Alignment;

    private static void Value(BinaryWriter w, object value)
    {
        switch (value)
        {
            case byte v: w.Write(v); break;
            case sbyte v: w.Write(v); break;
            case ushort v: w.Write(v); break;
            case short v: w.Write(v); break;
            case uint v: w.Write(v); break;
            case int v: w.Write(v); break;
            case ulong v: w.Write(v); break;
            case long v: w.Write(v); break;
            case float v: w.Write(v); break;
            case double v: w.Write(v); break;
            case bool v: w.Write(v); break;
            case string v: String(w, v); break;
            case Array v:
                w.Write(Type(v.GetType().GetElementType()!));
                w.Write((ulong)v.Length);
                foreach (object item in v) Value(w, item);
                break;
            default: throw new ArgumentException($"no GGUF type for {value.GetType()}");
        }
    }

    private static uint Type(Type type) => type.IsArray ? 9u : System.Type.GetTypeCode(type) switch
    {
        TypeCode.Byte => 0,
        TypeCode.SByte => 1,
        TypeCode.UInt16 => 2,
        TypeCode.Int16 => 3,
        TypeCode.UInt32 => 4,
        TypeCode.Int32 => 5,
        TypeCode.Single => 6,
        TypeCode.Boolean => 7,
        TypeCode.String => 8,
        TypeCode.UInt64 => 10,
        TypeCode.Int64 => 11,
        TypeCode.Double => 12,
        _ => throw new ArgumentException($"no GGUF type for {type}"),
    };

    private static void String(BinaryWriter w, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        w.Write((ulong)bytes.Length);
        w.Write(bytes);
    }
}
