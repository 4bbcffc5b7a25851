namespace IlgpuSparse.Model;

/// <summary>A mapped GGUF file, version 2 or 3: metadata by key and tensors by name, every range checked.</summary>
internal sealed unsafe class GgufFile : IDisposable
{
    private const uint Magic = 0x46554747; // "GGUF"
    private const int HeaderBytes = 24;
    private const int MostKeys = 1 << 16;
    private const int MostTensors = 1 << 18;
    private const int MostDimensions = 4;
    private const int LongestName = 1024;
    private const ulong LargestAlignment = 1 << 20;

    private readonly MappedFile _file;

    /// <summary>Maps <paramref name="path"/> and reads its header.</summary>
    /// <exception cref="ModelFormatException">Damaged, or stored in a format that is not supported.</exception>
    public GgufFile(string path)
    {
        _file = new MappedFile(path, sizeof(uint));
        try
        {
            var reader = new GgufReader(_file);
            if (reader.UInt32("the magic number") != Magic) throw Bad("does not begin with 'GGUF': not a GGUF file");
            if (_file.Length < HeaderBytes) throw Bad($"the file is cut short: {_file.Length} bytes, its header alone takes {HeaderBytes}");
            uint version = reader.UInt32("the version");
            if (version is not (2 or 3))
                throw Bad(version is 0x02000000 or 0x03000000 ? "is big-endian, which is not supported" : $"is GGUF version {version}; supported are 2 and 3");
            int tensors = reader.Count("the number of tensors", 24, MostTensors);
            int keys = reader.Count("the number of metadata keys", 13, MostKeys);
            Metadata = new GgufMetadata(path, ReadMetadata(reader, keys));
            ReadTensors(reader, tensors);
        }
        catch
        {
            _file.Dispose();
            throw;
        }
    }

    /// <summary>The file.</summary>
    public string Path => _file.Path;

    /// <summary>Metadata by key.</summary>
    public GgufMetadata Metadata { get; }

    /// <summary>Tensors by their GGUF name, dimensions outermost first.</summary>
    public Dictionary<string, ModelTensor> Tensors { get; } = [];

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private Dictionary<string, object> ReadMetadata(GgufReader reader, int count)
    {
        var values = new Dictionary<string, object>(count);
        for (int i = 0; i < count; i++)
        {
            string key = reader.String($"metadata key {i}", LongestName);
            if (!values.TryAdd(key, reader.Value(key))) throw Bad($"the metadata key '{key}' occurs twice");
        }
        return values;
    }

    private void ReadTensors(GgufReader reader, int count)
    {
        ulong alignment = (ulong)Metadata.Integer("general.alignment", 32);
        if (alignment is 0 or > LargestAlignment || (alignment & (alignment - 1)) != 0)
            throw Bad($"general.alignment is {alignment}, it must be a power of two up to {LargestAlignment}");

        var headers = new List<(string Name, WeightFormat Format, long[] Shape, ulong Offset, long Bytes)>(count);
        for (int i = 0; i < count; i++)
        {
            string name = reader.String($"the name of tensor {i}", LongestName);
            long[] shape = ReadShape(reader, name);
            var format = GgufTensorTypes.Format(reader.UInt32($"the type of tensor '{name}'"), name, Path);
            ulong offset = reader.UInt64($"the offset of tensor '{name}'");
            if (offset % alignment != 0) throw Bad($"tensor '{name}' lies at offset {offset}, which is not a multiple of the alignment {alignment}");
            headers.Add((name, format, shape, offset, ByteLength(name, format, shape)));
        }

        // The data part starts at the next multiple of the alignment.
        long start = (reader.Position + (long)alignment - 1) / (long)alignment * (long)alignment;
        foreach (var (name, format, shape, offset, bytes) in headers)
        {
            if (start > _file.Length - bytes || offset > (ulong)(_file.Length - bytes - start))
                throw Bad($"tensor '{name}' takes {bytes} bytes from byte {offset} of the data on, the data has {Math.Max(0, _file.Length - start)}: cut short or damaged");
            if (!Tensors.TryAdd(name, new ModelTensor(name, Path, format, shape, _file.At(start + (long)offset, bytes), bytes))) throw Bad($"tensor '{name}' occurs twice");
        }
    }

    private long[] ReadShape(GgufReader reader, string name)
    {
        uint dimensions = reader.UInt32($"the number of dimensions of tensor '{name}'");
        if (dimensions is 0 or > MostDimensions) throw Bad($"tensor '{name}' has {dimensions} dimensions, the format allows 1 to {MostDimensions}");
        var shape = new long[dimensions];
        for (int d = shape.Length - 1; d >= 0; d--) // the file has the innermost first
        {
            ulong size = reader.UInt64($"a dimension of tensor '{name}'");
            if (size > long.MaxValue) throw Bad($"tensor '{name}' has the dimension {size}");
            shape[d] = (long)size;
        }
        return shape;
    }

    private long ByteLength(string name, WeightFormat format, long[] shape)
    {
        if (shape[^1] % format.BlockElements() != 0)
            throw Bad($"tensor '{name}' has rows of {shape[^1]} numbers, which are not whole {format} blocks of {format.BlockElements()}");
        Int128 bytes = (Int128)(shape[^1] / format.BlockElements()) * format.BlockBytes();
        foreach (long size in shape.AsSpan(0, shape.Length - 1))
        {
            if (bytes > _file.Length) break; // keeps the product from overflowing
            bytes *= size;
        }
        if (bytes > _file.Length) throw Bad($"tensor '{name}' of shape [{string.Join(", ", shape)}] in {format} is larger than the file of {_file.Length} bytes: cut short or damaged");
        return (long)bytes;
    }

    private ModelFormatException Bad(string problem) => new(Path, problem);
}
