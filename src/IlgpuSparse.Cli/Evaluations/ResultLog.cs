using System.Text;
using IlgpuSparse.Evaluation;

namespace IlgpuSparse.Cli.Evaluations;

/// <summary>
/// The results of an evaluation in a file, one JSON object a line, written as each is there: an interrupted grid finds what it had. The first line says what they are results of.
/// </summary>
internal sealed class ResultLog : IDisposable
{
    /// <summary>What the results depend on beside the item, the set-up and the attention.</summary>
    internal sealed record Head(string Model, string Texts, string Backend, string KvType);

    private sealed record Entry(string Item, EvaluationSetup Setup, string Attention, ItemResult Result);

    private readonly Dictionary<(string Item, EvaluationSetup Setup, string Attention), ItemResult> _results = [];
    private readonly StreamWriter _writer;

    /// <summary>Opens or begins <paramref name="path"/>. A last line that was cut off is dropped.</summary>
    /// <exception cref="FormatException">The file holds something else, or results of another model, text, backend or storage.</exception>
    public ResultLog(string path, Head head)
    {
        string text = File.Exists(path) ? File.ReadAllText(path) : "";
        // what was cut off ends without a line feed
        string whole = text[..(text.LastIndexOf('\n') + 1)];
        string[] lines = whole.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        if (lines.Length > 0)
        {
            var found = JsonOutput.Read<Head>(lines[0], path);
            if (found != head) throw new FormatException($"{path} holds results of {found}, not of {head}: name another file with --results");
        }
        else if (text.Length > 0) throw new FormatException($"{path} holds no results: name another file with --results");
        foreach (string line in lines.Skip(1))
        {
            var entry = JsonOutput.Read<Entry>(line, path);
            _results[(entry.Item, entry.Setup, entry.Attention)] = entry.Result;
        }
        // in place: ended here or there, nothing that was whole is lost
        var stream = new FileStream(path, FileMode.OpenOrCreate, FileAccess.Write, FileShare.Read);
        stream.SetLength(Encoding.UTF8.GetByteCount(whole));
        stream.Seek(0, SeekOrigin.End);
        _writer = new StreamWriter(stream) { AutoFlush = true };
        if (lines.Length == 0) _writer.Write(JsonOutput.Line(head) + "\n");
    }

    /// <summary>What <paramref name="attention"/> made of <paramref name="item"/>; null where that is not known yet.</summary>
    public ItemResult? Find(EvaluationItem item, EvaluationSetup setup, string attention) => _results.GetValueOrDefault((item.Name, setup, attention));

    /// <summary>Adds one, to the file too.</summary>
    public void Add(EvaluationItem item, EvaluationSetup setup, string attention, ItemResult result)
    {
        _results[(item.Name, setup, attention)] = result;
        _writer.Write(JsonOutput.Line(new Entry(item.Name, setup, attention, result)) + "\n");
    }

    /// <inheritdoc/>
    public void Dispose() => _writer.Dispose();
}
