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

    /// <summary>Writes <paramref name="document"/>.</summary>
    public static void Write(object document) => Console.Out.WriteLine(JsonSerializer.Serialize(document, s_options));
}
