using System.Text.Json;
using System.Text.Unicode;
using Microsoft.AspNetCore.Http;

namespace IlgpuSparse.Cli.Serving;

/// <summary>The JSON object of a request, read with one clear message for whatever is wrong in it: the field, its value, what is allowed.</summary>
internal readonly struct RequestJson
{
    private readonly JsonElement _root;
    private readonly string _path;

    private RequestJson(JsonElement root, string path) => (_root, _path) = (root, path);

    /// <summary>Reads the body.</summary>
    /// <exception cref="RequestException">Not declared as JSON, no UTF-8, no JSON, or no object.</exception>
    public static async Task<RequestJson> ReadAsync(HttpRequest request)
    {
        // what a page of another site may send without asking first is not taken
        if (!request.HasJsonContentType()) throw new RequestException(StatusCodes.Status415UnsupportedMediaType, "the body must be JSON: send it with 'Content-Type: application/json'");
        try
        {
            using var body = new MemoryStream();
            await request.Body.CopyToAsync(body, request.HttpContext.RequestAborted);
            // the reader lets other bytes pass inside of texts, and fails when they are shown
            if (!Utf8.IsValid(body.GetBuffer().AsSpan(0, (int)body.Length))) throw new RequestException(StatusCodes.Status400BadRequest, "the body is no JSON: it has bytes that are no UTF-8");
            using var document = JsonDocument.Parse(body.GetBuffer().AsMemory(0, (int)body.Length));
            return new RequestJson(Object(document.RootElement.Clone(), "the body"), "");
        }
        catch (JsonException e)
        {
            throw new RequestException(StatusCodes.Status400BadRequest, $"the body is no JSON: {e.Message}");
        }
        // of all that a client can do wrong in chunks, this alone Kestrel does not call a bad request
        catch (IOException e) when (e.InnerException is OverflowException)
        {
            throw new RequestException(StatusCodes.Status400BadRequest, "the body is sent in chunks of which one is longer than any can be");
        }
    }

    private static JsonElement Object(JsonElement value, string name) => value.ValueKind == JsonValueKind.Object ? value : throw Wrong(name, value, "an object");

    private static RequestException Wrong(string name, JsonElement value, string wanted)
    {
        string shown = value.GetRawText();
        return new RequestException(StatusCodes.Status400BadRequest, $"'{name}' is {(shown.Length <= 60 ? shown : shown[..60] + "…")}, it must be {wanted}", name);
    }

    private JsonElement? Find(string name) => _root.TryGetProperty(name, out var value) && value.ValueKind is not JsonValueKind.Null ? value : null;

    private string Path(string name) => _path + name;

    /// <summary>A text, or null when absent.</summary>
    public string? Text(string name) => Find(name) is not { } value ? null : Text(value, Path(name));

    private static string Text(JsonElement value, string name)
    {
        if (value.ValueKind != JsonValueKind.String) throw Wrong(name, value, "a text");
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw new RequestException(StatusCodes.Status400BadRequest, $"'{name}' holds half a surrogate pair or bytes that are no UTF-8", name);
        }
    }

    /// <summary>A truth value, <paramref name="otherwise"/> when absent.</summary>
    public bool Flag(string name, bool otherwise = false) => Find(name) is not { } value ? otherwise
        : value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw Wrong(Path(name), value, "true or false");

    /// <summary>A number in its range, or null when absent.</summary>
    public double? Number(string name, double least, double most)
    {
        if (Find(name) is not { } value) return null;
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= least && number <= most ? number : throw Wrong(Path(name), value, $"a number from {least} to {most}");
    }

    /// <summary>A whole number in its range, or null when absent.</summary>
    public long? Whole(string name, long least, long most)
    {
        if (Find(name) is not { } value) return null;
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt64(out long number))
        {
            // clients of other languages write 5 as 5.0
            if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out double real) || real != Math.Floor(real) || Math.Abs(real) > 1L << 53) throw Wrong(Path(name), value, $"a whole number from {least} to {most}");
            number = (long)real;
        }
        return number >= least && number <= most ? number : throw Wrong(Path(name), value, $"a whole number from {least} to {most}");
    }

    /// <summary>A text or a list of at most <paramref name="most"/> texts, each of at most <paramref name="longest"/> characters and not empty; none when absent.</summary>
    public List<string> Texts(string name, int most, int longest)
    {
        if (Find(name) is not { } value) return [];
        string path = Path(name);
        var texts = value.ValueKind == JsonValueKind.Array && value.GetArrayLength() <= most ? value.EnumerateArray().Select((t, i) => Text(t, $"{path}[{i}]")).ToList()
            : value.ValueKind == JsonValueKind.String ? [Text(value, path)]
            : throw Wrong(path, value, $"a text or a list of at most {most} texts");
        return texts.TrueForAll(t => t.Length > 0 && t.Length <= longest) ? texts : throw Wrong(path, value, $"texts of 1 to {longest} characters");
    }

    /// <summary>An object, or null when absent.</summary>
    public RequestJson? Object(string name) => Find(name) is not { } value ? null : new RequestJson(Object(value, Path(name)), Path(name) + ".");

    /// <summary>The objects of a list, or null when absent.</summary>
    public List<RequestJson>? Objects(string name)
    {
        if (Find(name) is not { } value) return null;
        if (value.ValueKind != JsonValueKind.Array) throw Wrong(Path(name), value, "a list of objects");
        string path = Path(name);
        return [.. value.EnumerateArray().Select((item, i) => new RequestJson(Object(item, $"{path}[{i}]"), $"{path}[{i}]."))];
    }

    /// <summary>A list of token ids, or null when the field is something else.</summary>
    public int[]? Ids(string name)
    {
        if (Find(name) is not { ValueKind: JsonValueKind.Array } value || value.GetArrayLength() == 0 || value[0].ValueKind != JsonValueKind.Number) return null;
        string path = Path(name);
        return [.. value.EnumerateArray().Select(v => v.ValueKind == JsonValueKind.Number && v.TryGetInt32(out int id) ? id : throw Wrong(path, v, "a token id"))];
    }

    /// <summary>A content: a text, or a list of parts of which all are text.</summary>
    public string Content(string name)
    {
        if (Find(name) is not { } value) throw new RequestException(StatusCodes.Status400BadRequest, $"'{Path(name)}' is missing", Path(name));
        if (value.ValueKind != JsonValueKind.Array) return Text(value, Path(name));
        return string.Concat(Objects(name)!.Select(part => part.Text("type") is "text" ? part.Text("text") ?? "" : throw new RequestException(StatusCodes.Status400BadRequest, $"'{part._path}type' is not \"text\": the model reads nothing else", part._path + "type")));
    }

    /// <summary>Refuses a field that asks for something that cannot be had, unless it asks for nothing: absent, null, empty, 0 or false.</summary>
    public void Refuse(string name, string reason)
    {
        if (Find(name) is not { } value) return;
        bool nothing = value.ValueKind switch
        {
            JsonValueKind.Array => value.GetArrayLength() == 0,
            JsonValueKind.Object => !value.EnumerateObject().Any(),
            JsonValueKind.Number => value.TryGetDouble(out double number) && number == 0,
            JsonValueKind.String => value.ValueEquals(""),
            _ => value.ValueKind == JsonValueKind.False,
        };
        if (!nothing) throw new RequestException(StatusCodes.Status400BadRequest, $"'{Path(name)}': {reason}", Path(name));
    }
}
