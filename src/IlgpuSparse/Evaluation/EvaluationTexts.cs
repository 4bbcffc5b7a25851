namespace IlgpuSparse.Evaluation;

/// <summary>Makes the items of tasks: the same seed and texts give the same items.</summary>
public sealed class EvaluationTexts
{
    /// <summary>Questions about one record of lines.</summary>
    private const int QuestionsARecord = 10;

    private readonly Func<string, int[]> _encode;
    private readonly int[] _start;
    private readonly IReadOnlyList<int[]> _prose;
    private readonly int _seed;

    /// <summary>Prepares.</summary>
    /// <param name="encode">A tokenizer that adds no special tokens; the parts of a retrieval prompt go through it one by one.</param>
    /// <param name="bosId">What every context begins with, if the model has it.</param>
    /// <param name="prose">Texts for perplexity, and for pass keys to be hidden in.</param>
    /// <param name="seed">Seed of the generated texts.</param>
    public EvaluationTexts(Func<string, int[]> encode, int? bosId, IEnumerable<string> prose, int seed)
    {
        _encode = encode;
        _start = bosId is int bos ? [bos] : [];
        _prose = [.. prose.Select(encode)];
        _seed = seed;
    }

    /// <summary>The items of <paramref name="task"/>.</summary>
    /// <exception cref="ArgumentException">A text is too short for it.</exception>
    /// <exception cref="FormatException">A file of LongEval is damaged, or has fewer cases.</exception>
    public IReadOnlyList<EvaluationItem> Items(EvaluationTask task)
    {
        ArgumentNullException.ThrowIfNull(task);
        if (task.File is { } file) return LongEvalFile.Read(file, task.Count, _start, _encode);
        int items = task.Kind == EvaluationKind.Lines ? (task.Count + QuestionsARecord - 1) / QuestionsARecord : task.Count;
        return [.. Enumerable.Range(0, items).Select(i => task.Kind switch
        {
            EvaluationKind.Perplexity => Window(task, i),
            EvaluationKind.Lines => Record(task, i),
            _ => Hidden(task, i),
        })];
    }

    private EvaluationItem Window(EvaluationTask task, int index)
    {
        int[] text = Prose(index);
        int room = task.Length - _start.Length, needed = room + 1 + task.Tokens;
        if (text.Length < needed) throw new ArgumentException($"a text of {text.Length:N0} tokens is too short: a window of {task} needs {needed:N0}", nameof(task));
        // the windows of one text lie as far apart as it is long
        int windows = (task.Count - index % _prose.Count + _prose.Count - 1) / _prose.Count;
        int at = windows == 1 ? 0 : (int)((long)(text.Length - needed) * (index / _prose.Count) / (windows - 1));
        var rest = text.AsSpan(at + room, 1 + task.Tokens);
        return new EvaluationItem(Name("ppl", task, index) + $",tokens={task.Tokens},of={task.Count}", [.. _start, .. text.AsSpan(at, room)], [new RetrievalQuestion([rest[0]], rest[1..].ToArray())]);
    }

    private EvaluationItem Record(EvaluationTask task, int index)
    {
        int questions = Math.Min(QuestionsARecord, task.Count - index * QuestionsARecord);
        var (context, asked) = Generator(index).Lines(task.Length - EvaluationTask.QuestionRoom - _start.Length, questions);
        return new EvaluationItem(Name("lines", task, index) + $",questions={questions}", [.. _start, .. context], asked);
    }

    private EvaluationItem Hidden(EvaluationTask task, int index)
    {
        int[] text = Prose(index);
        int length = task.Length - EvaluationTask.QuestionRoom - _start.Length;
        if (text.Length < length) throw new ArgumentException($"a text of {text.Length:N0} tokens is too short: {task} needs {length:N0}", nameof(task));
        var (context, question) = Generator(index).PassKey(text, length);
        return new EvaluationItem(Name("passkey", task, index), [.. _start, .. context], [question]);
    }

    private RetrievalText Generator(int index) => new(_encode, unchecked((_seed + 1) * 1_000_003 + index));

    private int[] Prose(int index) => _prose.Count > 0 ? _prose[index % _prose.Count] : throw new ArgumentException("there is no text to take prose from");

    private string Name(string kind, EvaluationTask task, int index) => $"{kind}:length={task.Length},seed={_seed},item={index}";
}
