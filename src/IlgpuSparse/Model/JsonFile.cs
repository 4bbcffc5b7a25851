using System.Text.Json;
using System.Text.Unicode;

namespace IlgpuSparse.Model;

/// <summary>A JSON file whose root is an object, read with messages that name file, key and value. An explicit null counts as absent.</summary>
internal sealed class JsonFile : IDisposable
{
    private const long Largest = 256L << 20;
    private readonly JsonDocument _document;
    private readonly string _at;

    private JsonFile(string path, JsonDocument document, JsonElement root, string at)
    {
        Path = path;
        _document = document;
        Root = root;
        _at = at;
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>The object that keys are looked up in.</summary>
    public JsonElement Root { get; }

    /// <summary>Reads <paramref name="path"/>.</summary>
    /// <exception cref="ModelFormatException">Too large, not UTF-8, not JSON, a key twice, or the root is no object.</exception>
    public static JsonFile Open(string path)
    {
        try
        {
            long length = new FileInfo(path).Length;
            if (length > Largest) throw new ModelFormatException(path, $"has {length} bytes, the limit for JSON is {Largest}");
            byte[] bytes = File.ReadAllBytes(path);
            var json = bytes.AsMemory(bytes.AsSpan().StartsWith("\uFEFF"u8) ? "\uFEFF"u8.Length : 0);
            if (!Utf8.IsValid(json.Span)) throw new ModelFormatException(path, "is not UTF-8 text");
            var document = JsonDocument.Parse(json, new JsonDocumentOptions { AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object) throw new ModelFormatException(path, "is not a JSON object");
            // JSON can spell half a surrogate pair, which is no text and would fail wherever it is first looked at.
            if (json.Span.IndexOf("\\ud"u8) >= 0 || json.Span.IndexOf("\\uD"u8) >= 0) ReadAllText(document.RootElement);
            return new JsonFile(path, document, document.RootElement, "");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or UnauthorizedAccessException || e is IOException and not (FileNotFoundException or DirectoryNotFoundException))
        {
            throw new ModelFormatException(path, $"cannot be read as JSON: {e.Message}", e);
        }
    }

    /// <summary>As <see cref="Open"/>, null when there is no such file.</summary>
    public static JsonFile? OpenIfPresent(string path) => File.Exists(path) ? Open(path) : null;

    /// <summary>The object under <paramref name="key"/>, or null; it lives as long as this file.</summary>
    public JsonFile? FindObject(string key) => Find(key) switch
    {
        null => null,
        { } value => Object(value, key),
    };

    /// <summary><paramref name="value"/>, found in this file at <paramref name="key"/>, as an object to look keys up in.</summary>
    public JsonFile Object(JsonElement value, string key) => value.ValueKind == JsonValueKind.Object
        ? new JsonFile(Path, _document, value, $"{_at}{key}.")
        : throw Bad($"'{_at}{key}' is {Shorten(value)}, it must be an object");

    /// <summary>The value under <paramref name="key"/>, or null.</summary>
    public JsonElement? Find(string key) => Root.TryGetProperty(key, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    /// <summary>A whole number (also written as 1.0), or null.</summary>
    public int? FindInteger(string key) => Find(key) is { } value ? ToInteger(key, value) : null;

    /// <summary>A whole number that must be there.</summary>
    public int Integer(string key) => FindInteger(key) ?? throw Bad($"has no '{_at}{key}'");

    /// <summary>A whole number or a list of them; empty when absent.</summary>
    public int[] FindIntegers(string key) => Find(key) switch
    {
        null => [],
        { ValueKind: JsonValueKind.Array } list => [.. list.EnumerateArray().Select(v => ToInteger(key, v))],
        { } value => [ToInteger(key, value)],
    };

    /// <summary>A number, or null.</summary>
    public float? FindNumber(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Number } value when value.TryGetDouble(out double number) => (float)number,
        _ => throw Wrong(key, "a number"),
    };

    /// <summary>A truth value, or null.</summary>
    public bool? FindBool(string key) => Find(key)?.ValueKind switch
    {
        null => null,
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Wrong(key, "true or false"),
    };

    /// <summary>A string, or null.</summary>
    public string? FindString(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.String } value => Text(value),
        _ => throw Wrong(key, "a string"),
    };

    /// <summary>The text of a JSON string.</summary>
    /// <exception cref="ModelFormatException">No string.</exception>
    public string Text(JsonElement value) => value.ValueKind == JsonValueKind.String ? value.GetString()! : throw Bad($"has {Shorten(value)} where a string must be");

    /// <summary>A problem of this file.</summary>
    public ModelFormatException Bad(string problem) => new(Path, problem);

    /// <inheritdoc/>
    public void Dispose() => _document.Dispose();

    private static void ReadAllText(JsonElement element)
    {
        if (element.ValueKind == JsonValueKind.String) element.GetString();
        else if (element.ValueKind == JsonValueKind.Array) foreach (var item in element.EnumerateArray()) ReadAllText(item);
        else if (element.ValueKind == JsonValueKind.Object)
        {
            foreach (var property in element.EnumerateObject())
            {
                _ = property.Name;
                ReadAllText(property.Value);
            }
        }
    }

    private int ToInteger(string key, JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.Number)
        {
            if (value.TryGetInt32(out int whole)) return whole;
            if (value.TryGetDouble(out double number) && number == Math.Floor(number) && Math.Abs(number) <= int.MaxValue) return (int)number;
        }
        throw Bad($"'{_at}{key}' is {Shorten(value)}, it must be a whole number of at most {int.MaxValue}");
    }

    private ModelFormatException Wrong(string key, string what) => Bad($"'{_at}{key}' is {Shorten(Root.GetProperty(key))}, it must be {what}");

    private static string Shorten(JsonElement value) => value.GetRawText() is { Length: > 80 } text ? text[..80] + "..." : value.GetRawText();
}
