using System.Text.Json;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>Measurements of other software, one JSON object a line.</summary>
internal static class BaselineLines
{
    /// <summary>Hands the object of every line to <paramref name="add"/>; blank lines are passed over. <paramref name="source"/> is for messages.</summary>
    /// <exception cref="FormatException">A line is no such object, or lacks what <paramref name="add"/> asks for.</exception>
    public static void Each(IEnumerable<string> lines, string source, Action<JsonElement> add)
    {
        int number = 0;
        foreach (string line in lines)
        {
            number++;
            if (string.IsNullOrWhiteSpace(line)) continue;
            try
            {
                using var document = JsonDocument.Parse(line);
                add(document.RootElement);
            }
            catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
            {
                throw new FormatException($"{source}, line {number}: {e.Message}", e);
            }
        }
    }
}
