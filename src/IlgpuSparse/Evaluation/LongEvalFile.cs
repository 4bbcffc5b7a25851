using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace IlgpuSparse.Evaluation;

/// <summary>
/// Cases of LongEval's line retrieval (Li et al. 2023), as their generator writes them: JSON lines with <c>prompt</c>, <c>expected_number</c> and, first of <c>random_idx</c>, the line that is asked for. The record is the context, the rest
/// of the prompt the question. The answer is led in, "The &lt;REGISTER_CONTENT&gt; in line … is &lt;", so that it can be judged token by token.
/// </summary>
internal static class LongEvalFile
{
    private const string Question = "\nNow the record is over";

    /// <summary>The first <paramref name="cases"/> of <paramref name="path"/>; contexts begin with <paramref name="start"/>.</summary>
    /// <exception cref="FormatException">Damaged, or fewer cases; the message names file and line.</exception>
    public static IReadOnlyList<EvaluationItem> Read(string path, int cases, int[] start, Func<string, int[]> encode)
    {
        var items = new List<EvaluationItem>();
        foreach (string line in File.ReadLines(path))
        {
            if (items.Count == cases) break;
            if (line.Length > 0) items.Add(Case(line, $"{path}, case {items.Count + 1}", start, encode));
        }
        return items.Count == cases ? items : throw new FormatException($"{path} has {items.Count} cases, {cases} were asked for");
    }

    private static EvaluationItem Case(string line, string where, int[] start, Func<string, int[]> encode)
    {
        string? prompt = null, name = null;
        int number = -1;
        try
        {
            using var json = JsonDocument.Parse(line);
            prompt = json.RootElement.GetProperty("prompt").GetString();
            number = json.RootElement.GetProperty("expected_number").GetInt32();
            name = json.RootElement.GetProperty("random_idx")[0].GetString();
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or IndexOutOfRangeException)
        {
            throw new FormatException($"{where}: expected prompt, expected_number and random_idx: {e.Message}", e);
        }
        if (prompt is null || name is null || number < 0) throw new FormatException($"{where}: expected a prompt, a name and a number from 0");
        int end = prompt.LastIndexOf(Question, StringComparison.Ordinal);
        if (end <= 0) throw new FormatException($"{where}: the prompt has no '{Question.Trim()}'");
        string asked = $"{prompt[end..].TrimEnd()} The <REGISTER_CONTENT> in line {name} is <";
        int[] question = encode(asked), whole = encode($"{asked}{number}>");
        // the tokens that the answer changes or adds are the answer
        int same = question.AsSpan().CommonPrefixLength(whole);
        string id = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(line)))[..16];
        return new EvaluationItem($"longeval:{id}", [.. start, .. encode(prompt[..end])], [new RetrievalQuestion(whole[..same], whole[same..])]);
    }
}
