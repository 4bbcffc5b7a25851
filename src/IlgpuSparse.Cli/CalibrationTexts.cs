using IlgpuSparse.Chat;
using IlgpuSparse.Evaluation;

namespace IlgpuSparse.Cli;

/// <summary>Windows of one kind of text, each with the positions whose queries calibration looks at.</summary>
internal sealed record CalibrationText(string Name, List<(int[] Tokens, int[] Positions)> Windows);

/// <summary>Makes the texts that <c>calibrate</c> reads: prose, and retrieval tasks generated from seeds.</summary>
internal sealed class CalibrationTexts
{
    // Queries of a window of prose.
    private const int ProseQueries = 96;

    private readonly TextTokenizer _tokenizer;
    private readonly int[] _prose, _start;
    private readonly int _window;

    /// <summary>Reads the prose.</summary>
    /// <exception cref="ArgumentException">It is shorter than a window.</exception>
    public CalibrationTexts(TextTokenizer tokenizer, IEnumerable<string> files, int window)
    {
        _tokenizer = tokenizer;
        _window = window;
        _prose = tokenizer.Encode(string.Join("\n\n", files.Select(File.ReadAllText)), addBos: false);
        if (_prose.Length < window) throw new ArgumentException($"the prose has {_prose.Length:N0} tokens; a window needs {window:N0}");
        _start = tokenizer.BosId is int bos ? [bos] : [];
    }

    /// <summary>Windows of prose, spread over the whole text as far apart as it is long, or half-way between them.</summary>
    public CalibrationText Prose(int windows, bool shifted = false)
    {
        int room = _window - _start.Length, last = _prose.Length - room;
        int[] positions = [.. Enumerable.Range(0, ProseQueries).Select(i => _window / 2 + (int)((long)(_window - _window / 2) * i / ProseQueries))];
        return new CalibrationText("prose", [.. Enumerable.Range(0, windows).Select(i =>
        {
            double place = shifted ? (i + 0.5) / windows / 2 : (double)i / Math.Max(1, windows - 1);
            return ((int[])[.. _start, .. _prose.AsSpan((int)(last * place), room)], positions);
        })]);
    }

    /// <summary>Records of lines, the last part of each window questions and answers.</summary>
    public CalibrationText Lines(int windows, int seed)
    {
        // a question about a line in eight is room for
        const int Questions = 64;
        var retrieval = Generator(seed);
        return new CalibrationText("lines", [.. Enumerable.Range(0, windows).Select(_ =>
        {
            var (context, questions) = retrieval.Lines((_window - _start.Length) * 7 / 8, Questions);
            var tokens = new List<int>([.. _start, .. context]);
            var positions = new List<int>();
            foreach (var question in questions) Ask(question, tokens, positions);
            return (tokens.Take(_window).ToArray(), positions.Where(p => p < _window).ToArray());
        })]);
    }

    /// <summary>Pass keys hidden in prose, several a window, each asked for after its passage.</summary>
    public CalibrationText PassKeys(int windows, int seed)
    {
        int passage = Math.Min(1600, _window * 3 / 4);
        var retrieval = Generator(seed);
        return new CalibrationText("passkey", [.. Enumerable.Range(0, windows).Select(_ =>
        {
            var tokens = new List<int>(_start);
            var positions = new List<int>();
            do
            {
                var (text, question) = retrieval.PassKey(_prose, passage);
                tokens.AddRange(text);
                Ask(question, tokens, positions);
            }
            while (tokens.Count < _window - passage - 64);
            return (tokens.Take(_window).ToArray(), positions.Where(p => p < _window).ToArray());
        })]);
    }

    private RetrievalText Generator(int seed) => new(text => _tokenizer.Encode(text, addBos: false), seed);

    // The queries that retrieve: those of the answer's digits, and some of the question.
    private static void Ask(RetrievalQuestion question, List<int> tokens, List<int> positions)
    {
        int start = tokens.Count;
        tokens.AddRange(question.Tokens);
        positions.AddRange(Enumerable.Range(start, question.Tokens.Length - 1).Where(p => (p - start) % 4 == 3));
        positions.AddRange(Enumerable.Range(tokens.Count - 1, question.Answer.Length));
        tokens.AddRange(question.Answer);
    }
}
