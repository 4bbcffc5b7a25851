using System.Buffers.Binary;
using System.Text.Json;

namespace IlgpuSparse.Model;

/// <summary>
/// A mapped safetensors file: an 8-byte header length, a JSON header, the data. The header is checked as the format asks: the tensors cover the data exactly, without holes or overlaps.
/// </summary>
internal sealed unsafe class SafetensorsFile : IDisposable
{
    private const int LongestHeader = 100_000_000; // the format's own limit
    private const int LongestName = 1024;
    private readonly MappedFile _file;
    private readonly Dictionary<string, SafetensorsEntry> _entries;
    private readonly long _dataStart;

    /// <summary>Maps <paramref name="path"/> and checks its header.</summary>
    /// <exception cref="ModelFormatException">Damaged.</exception>
    public SafetensorsFile(string path)
    {
        _file = new MappedFile(path, sizeof(ulong));
        try
        {
            ulong header = BinaryPrimitives.ReadUInt64LittleEndian(_file.Span(0, sizeof(ulong)));
            if (header > LongestHeader) throw Bad($"its header claims {header} bytes, the limit of the format is {LongestHeader}");
            if ((long)header > _file.Length - sizeof(ulong)) throw Bad($"its header claims {header} bytes, the file has only {_file.Length - sizeof(ulong)} left: cut short or damaged");
            _dataStart = sizeof(ulong) + (long)header;
            _entries = ReadHeader(_file.Span(sizeof(ulong), (int)header).ToArray());
            CheckCoverage(_file.Length - _dataStart);
        }
        catch
        {
            _file.Dispose();
            throw;
        }
    }

    /// <summary>The file.</summary>
    public string Path => _file.Path;

    /// <summary>All tensors, of any dtype.</summary>
    public IReadOnlyCollection<SafetensorsEntry> Entries => _entries.Values;

    /// <summary>The entry of that name, or null.</summary>
    public SafetensorsEntry? FindEntry(string name) => _entries.GetValueOrDefault(name);

    /// <summary>The tensor of that name as a weight, or null when absent.</summary>
    /// <exception cref="ModelFormatException">Its dtype is not one that weights are stored in.</exception>
    public ModelTensor? Find(string name)
    {
        if (!_entries.TryGetValue(name, out var entry)) return null;
        var format = entry.Dtype switch
        {
            "F32" => WeightFormat.F32,
            "F16" => WeightFormat.F16,
            "BF16" => WeightFormat.BF16,
            _ => throw Bad($"tensor '{name}' has dtype {entry.Dtype}; weights must be F32, F16 or BF16"),
        };
        long bytes = entry.End - entry.Begin;
        return new ModelTensor(name, Path, format, entry.Shape, _file.At(_dataStart + entry.Begin, bytes), bytes);
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private Dictionary<string, SafetensorsEntry> ReadHeader(byte[] header)
    {
        if (header.Length == 0 || header[0] != (byte)'{') throw Bad("its header does not begin with '{': not a safetensors file, or damaged");
        try
        {
            using var json = JsonDocument.Parse(header, new JsonDocumentOptions { AllowDuplicateProperties = false, MaxDepth = 8 });
            var entries = new Dictionary<string, SafetensorsEntry>();
            foreach (var property in json.RootElement.EnumerateObject())
            {
                if (property.Name.Length > LongestName) throw Bad($"the header has a name of {property.Name.Length} characters, the limit is {LongestName}");
                if (property.Name != "__metadata__") entries.Add(property.Name, ReadEntry(property.Name, property.Value));
            }
            return entries;
        }
        // A string may be valid JSON and yet no text (half a surrogate pair): InvalidOperationException.
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw Bad($"its header is not valid: {e.Message}", e);
        }
    }

    private SafetensorsEntry ReadEntry(string name, JsonElement json)
    {
        if (json.ValueKind != JsonValueKind.Object
            || !json.TryGetProperty("dtype", out var dtype) || dtype.ValueKind != JsonValueKind.String
            || !json.TryGetProperty("shape", out var shape) || shape.ValueKind != JsonValueKind.Array
            || !json.TryGetProperty("data_offsets", out var offsets) || offsets.ValueKind != JsonValueKind.Array || offsets.GetArrayLength() != 2)
        {
            throw Bad($"the header's entry '{name}' lacks dtype, shape or a pair of data_offsets");
        }
        long[] sizes = [.. shape.EnumerateArray().Select(s => Size(name, s))];
        long begin = Size(name, offsets[0]), end = Size(name, offsets[1]);
        if (begin > end) throw Bad($"tensor '{name}' ends at {end}, before it begins at {begin}");
        int bits = Bits(dtype.GetString()!) ?? throw Bad($"tensor '{name}' has the unknown dtype '{dtype.GetString()}'");
        Int128 needed = bits;
        foreach (long size in sizes)
        {
            needed *= size;
            if (needed > long.MaxValue) throw Bad($"tensor '{name}' of shape [{string.Join(", ", sizes)}] is larger than any file"); // also keeps the product from overflowing
        }
        if ((needed + 7) / 8 != end - begin)
            throw Bad($"tensor '{name}' of shape [{string.Join(", ", sizes)}] and dtype {dtype.GetString()} takes {(needed + 7) / 8} bytes, its offsets span {end - begin}");
        return new SafetensorsEntry(name, dtype.GetString()!, sizes, begin, end);
    }

    private long Size(string name, JsonElement json)
    {
        if (json.ValueKind != JsonValueKind.Number || !json.TryGetInt64(out long value) || value < 0)
            throw Bad($"tensor '{name}' has the size or offset {json.GetRawText()}, which is not a whole number from 0 to {long.MaxValue}");
        return value;
    }

    private void CheckCoverage(long dataBytes)
    {
        long covered = 0;
        string previous = "the header";
        foreach (var entry in _entries.Values.OrderBy(e => e.Begin).ThenBy(e => e.End))
        {
            if (entry.Begin < covered) throw Bad($"tensor '{entry.Name}' begins at {entry.Begin}, inside '{previous}', which ends at {covered}");
            if (entry.Begin > covered) throw Bad($"tensor '{entry.Name}' begins at {entry.Begin}; the bytes from {covered} on belong to no tensor");
            if (entry.End > dataBytes) throw Bad($"tensor '{entry.Name}' ends at byte {entry.End} of the data, the file has {dataBytes}: cut short or damaged");
            covered = entry.End;
            previous = entry.Name;
        }
        if (covered != dataBytes) throw Bad($"its tensors take {covered} bytes, the file has {dataBytes}");
    }

    private static int? Bits(string dtype) => dtype switch
    {
        "F4" => 4,
        "F6_E2M3" or "F6_E3M2" => 6,
        "BOOL" or "U8" or "I8" or "F8_E5M2" or "F8_E4M3" or "F8_E8M0" or "F8_E4M3FNUZ" or "F8_E5M2FNUZ" => 8,
        "I16" or "U16" or "F16" or "BF16" => 16,
        "I32" or "U32" or "F32" => 32,
        "I64" or "U64" or "F64" or "C64" => 64,
        _ => null,
    };

    private ModelFormatException Bad(string problem, Exception? inner = null) => new(Path, problem, inner);
}
