using System.Text.Encodings.Web;
using System.Text.Json;

namespace IlgpuSparse.Cli;

/// <summary>The <c>--json</c> twin of a command's output: one document on standard output.</summary>
internal static class JsonOutput
{
    private static readonly JsonSerializerOptions s_options = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals,
        Converters = { new System.Text.Json.Serialization.JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
    };

    private static readonly JsonSerializerOptions s_line = new(s_options) { WriteIndented = false };

    /// <summary>Writes <paramref name="document"/>.</summary>
    public static void Write(object document) => Console.Out.WriteLine(Text(document));

    /// <summary>What <see cref="Write"/> writes.</summary>
    public static string Text(object document) => JsonSerializer.Serialize(document, s_options);

    /// <summary><paramref name="document"/> on one line.</summary>
    public static string Line(object document) => JsonSerializer.Serialize(document, s_line);

    /// <summary>Reads a document back.</summary>
    /// <exception cref="FormatException">It is none; <paramref name="source"/> is named.</exception>
    public static T Read<T>(string text, string source)
    {
        try
        {
            return JsonSerializer.Deserialize<T>(text, s_options) ?? throw new FormatException($"{source} holds null");
        }
        catch (JsonException e)
        {
            throw new FormatException($"{source}: {e.Message}", e);
        }
    }
}
