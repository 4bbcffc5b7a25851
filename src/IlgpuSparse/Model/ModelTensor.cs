namespace IlgpuSparse.Model;

/// <summary>One weight tensor of a mapped model file. It is a view: it lives as long as the <see cref="ModelFile"/> it came from.</summary>
public sealed unsafe class ModelTensor
{
    private readonly byte* _data;

    /// <summary>Wraps mapped bytes whose range the loader has already checked.</summary>
    internal ModelTensor(string name, string file, WeightFormat format, long[] shape, byte* data, long byteLength)
    {
        Name = name;
        File = file;
        Format = format;
        Shape = shape;
        _data = data;
        ByteLength = byteLength;
    }

    /// <summary>The name in the file.</summary>
    public string Name { get; }

    /// <summary>The file it lies in, for messages.</summary>
    public string File { get; }

    /// <summary>Storage format.</summary>
    public WeightFormat Format { get; }

    /// <summary>Sizes, outermost first: a projection is <c>[out, in]</c>, stacked experts <c>[expert, out, in]</c>.</summary>
    public IReadOnlyList<long> Shape { get; }

    /// <summary>Bytes as stored.</summary>
    public long ByteLength { get; }

    /// <summary>First mapped byte.</summary>
    internal byte* Data => _data;

    /// <summary>Rows of the matrix: every dimension but the last, multiplied.</summary>
    public long Rows => Shape.Count < 2 ? 1 : Shape.Take(Shape.Count - 1).Aggregate(1L, (a, b) => checked(a * b));

    /// <summary>Columns of the matrix: the last dimension.</summary>
    public long Columns => Shape.Count == 0 ? 1 : Shape[^1];

    /// <summary>Slice <paramref name="index"/> along the first dimension, e.g. one expert of a stack.</summary>
    internal ModelTensor Slice(int index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((ulong)index, (ulong)Shape[0]);
        long bytes = ByteLength / Shape[0];
        return new ModelTensor($"{Name}[{index}]", File, Format, [.. Shape.Skip(1)], _data + index * bytes, bytes);
    }
}
