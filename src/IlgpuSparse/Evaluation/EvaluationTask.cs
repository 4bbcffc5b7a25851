using System.Globalization;

namespace IlgpuSparse.Evaluation;

/// <summary>
/// A task as one string can say it: <c>ppl:length=4096,tokens=256,windows=1</c>, <c>lines:length=4096,questions=100</c>, <c>passkey:length=4096,keys=12</c>; K stands for 1024, every part may be left out. Or <c>longeval:file=PATH,cases=50</c>: the first cases of a file.
/// </summary>
/// <param name="Kind">What is asked.</param>
/// <param name="Length">Perplexity: tokens that are prefilled. Retrieval: tokens of the whole prompt, of which <see cref="QuestionRoom"/> are left to question and answer.</param>
/// <param name="Count">Windows, questions or pass keys.</param>
/// <param name="Tokens">Perplexity: tokens that are predicted a window; 0 otherwise.</param>
public sealed record EvaluationTask(EvaluationKind Kind, int Length, int Count, int Tokens)
{
    /// <summary>The file of <see cref="EvaluationKind.LongEval"/>, JSON lines; null for tasks that are made.</summary>
    public string? File { get; init; }

    /// <summary>Tokens of a retrieval prompt that the context leaves free.</summary>
    public const int QuestionRoom = 64;

    private const int MostTokens = 1 << 28;

    /// <summary>Reads the string form.</summary>
    /// <exception cref="FormatException">Unknown task, key or value; the message lists what there is.</exception>
    public static EvaluationTask Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string[] halves = text.Split(':', 2);
        var (task, count) = halves[0] switch
        {
            "ppl" => (new EvaluationTask(EvaluationKind.Perplexity, 4096, 1, 256), "windows"),
            "lines" => (new EvaluationTask(EvaluationKind.Lines, 4096, 100, 0), "questions"),
            "passkey" => (new EvaluationTask(EvaluationKind.PassKey, 4096, 12, 0), "keys"),
            "longeval" => (new EvaluationTask(EvaluationKind.LongEval, 0, 50, 0), "cases"),
            _ => throw new FormatException($"unknown task '{halves[0]}'; there are: ppl, lines, passkey, longeval"),
        };
        foreach (string part in (halves.Length == 2 ? halves[1] : "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            string[] pair = part.Split('=', 2);
            if (pair.Length != 2) throw new FormatException($"'{part}' should be key=value");
            if (task.Kind == EvaluationKind.LongEval && pair[0] == "file" && pair[1].Length > 0) task = task with { File = pair[1] };
            else if (task.Kind != EvaluationKind.LongEval && pair[0] == "length") task = task with { Length = Number(part, pair[1], task.Kind == EvaluationKind.Perplexity ? 2 : 2 * QuestionRoom, MostTokens) };
            else if (pair[0] == count) task = task with { Count = Number(part, pair[1], 1, 1 << 20) };
            else if (pair[0] == "tokens" && task.Kind == EvaluationKind.Perplexity) task = task with { Tokens = Number(part, pair[1], 1, MostTokens) };
            else throw new FormatException($"unknown setting '{pair[0]}' of {halves[0]}; there are: {(task.Kind == EvaluationKind.LongEval ? "file" : "length")}, {count}{(task.Kind == EvaluationKind.Perplexity ? ", tokens" : "")}");
        }
        if (task.Kind == EvaluationKind.LongEval && task.File is null) throw new FormatException($"'{text}' names no file: longeval:file=PATH");
        return task;
    }

    /// <summary>The string form, every setting said.</summary>
    public override string ToString() => Kind switch
    {
        EvaluationKind.Perplexity => $"ppl:length={Length},tokens={Tokens},windows={Count}",
        EvaluationKind.LongEval => $"longeval:file={File},cases={Count}",
        EvaluationKind.Lines => $"lines:length={Length},questions={Count}",
        _ => $"passkey:length={Length},keys={Count}",
    };

    private static int Number(string part, string value, int least, int most)
    {
        bool kilo = value.EndsWith('K') || value.EndsWith('k');
        bool right = long.TryParse(kilo ? value[..^1] : value, NumberStyles.None, CultureInfo.InvariantCulture, out long n) && n <= most;
        if (right && kilo) n *= 1024;
        return right && n >= least && n <= most ? (int)n : throw new FormatException($"{part}: expected a whole number from {least} to {most}, K for 1024");
    }
}
