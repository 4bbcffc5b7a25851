using System.CommandLine;
using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Chat;
using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Compute;
using IlgpuSparse.Evaluation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse bench drift</c>: how far texts drift from the map that <c>map=online</c> made of what came before, which is what its limit is set by.</summary>
internal static class BenchDriftCommand
{
    // Looked at as often as decoding looks.
    private const int Step = OnlineDoubleSparsityPolicy.CheckedTokens;

    private static readonly int[] s_after = [64, 128, 256, 512];

    private static readonly Option<string?> s_model = ModelOptions.Model();
    private static readonly Option<string[]> s_text = new("--text") { Description = "Prose that begins texts, and that others go on with; may be repeated. Default: the text that travels with the tool.", HelpName = "path" };
    private static readonly Option<string[]> s_other = new("--other") { Description = "A text of another kind to go on with; may be repeated.", HelpName = "path" };
    private static readonly Option<int> s_length = NumberOption.Create("--length", "Tokens that the map is made of.", OnlineDoubleSparsityPolicy.LeastTokens, 1 << 20, 1536);
    private static readonly Option<int> s_starts = NumberOption.Create("--starts", "Places of each text that are begun at.", 1, 1 << 10, 4);
    private static readonly Option<int> s_seed = NumberOption.Create("--seed", "Seed of the generated texts.", 0, int.MaxValue, 1);
    private static readonly Option<string?> s_markdown = new("--markdown") { Description = "Write the table there as Markdown.", HelpName = "path" };
    private static readonly Option<string> s_backend = ModelOptions.Backend();
    private static readonly Option<int> s_threads = ModelOptions.Threads();
    private static readonly Option<bool> s_json = ModelOptions.Json();

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command("drift", $"""
            How far a text drifts from the channel map that map=online made of its beginning, by what it goes on with: {s_after[^1]} tokens of the same text, from elsewhere in it, of another one, generated lines and pass keys, digits.
            What drift= is chosen by: below what goes on as it began, labels are made anew for nothing.
            """)
        {
            s_model, s_text, s_other, s_length, s_starts, s_seed, s_markdown, s_backend, s_threads, s_json,
        };
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => Run(arguments, cancellation)));
        return command;
    }

    private static int Run(ParseResult arguments, CancellationToken cancellation)
    {
        string path = arguments.ModelPath(s_model);
        using var model = ModelFile.Open(path);
        var tokenizer = ModelOptions.Tokenizer(model, path);
        int length = arguments.GetValue(s_length), starts = arguments.GetValue(s_starts), most = s_after[^1];
        if (length + most > model.Config.MaxContext) throw new ArgumentException($"--length {length}: with the {most} tokens that follow it must fit the {model.Config.MaxContext:N0} of the model");
        string[] files = arguments.GetValue(s_text) is { Length: > 0 } given ? given : [EmbeddedModel.PromptPath];
        int[][] prose = [.. files.Select(file => Tokens(tokenizer, file, length + 2 * most))], others = [.. arguments.GetValue(s_other)!.Select(file => Tokens(tokenizer, file, most))];
        var attention = AttentionOptions.Parse("double-sparsity:map=online,label=mixed,label-bits=128");
        float limit = attention.Drift;
        using var backend = ComputeBackends.Create(arguments.GetValue(s_backend)!, arguments.GetValue(s_threads));
        using var weights = LlamaWeights.Load(backend, model);
        using var decoder = new LlamaDecoder(backend, weights, new DecoderOptions { Capacity = length + most, MaxSequences = Step, Attention = attention with { Drift = 1 } });
        var found = new List<(string Next, double[] Drift)>();
        int[] start = tokenizer.BosId is int bos ? [bos] : [];
        for (int text = 0; text < prose.Length; text++)
        {
            for (int i = 0; i < starts; i++)
            {
                int at = (int)((long)(prose[text].Length - length - most) * i / Math.Max(1, starts - 1)), body = length - start.Length;
                ReadOnlySpan<int> begun = prose[text].AsSpan(at, body);
                var retrieval = new RetrievalText(t => tokenizer.Encode(t, addBos: false), HashCode(arguments.GetValue(s_seed), text, i));
                foreach (var (name, tokens) in Continuations(prose, others, [.. arguments.GetValue(s_other)!.Select(Path.GetFileName).OfType<string>()], text, at + body, most, retrieval, tokenizer))
                {
                    cancellation.ThrowIfCancellationRequested();
                    found.Add((name, Drift(decoder, [.. start, .. begun], tokens)));
                }
                ProgressConsole.Instance.WriteLine($"{text * starts + i + 1}/{prose.Length * starts} {Path.GetFileName(files[text])}");
            }
        }
        List<DriftRow> rows = [.. found.GroupBy(f => f.Next).Select(group => new DriftRow(group.Key, group.Count(),
            s_after.ToDictionary(tokens => tokens, tokens => group.Select(f => f.Drift[tokens / Step - 1]).Order().ToArray()), group.Average(f => f.Drift.Any(d => d > limit) ? 1.0 : 0)))];
        var document = new { command = ResultReport.CommandLine(arguments), date = DateTime.UtcNow, backend = backend.Name, device = backend.Description, length, limit, rows };
        string summary = $"`{document.command}` on {document.device}, {document.date:yyyy-MM-dd}; the limit is {limit}";
        List<(string, Func<DriftRow, string>)> columns = [("goes on with", r => r.Next), ("pairs", r => $"{r.Pairs}")];
        foreach (int tokens in s_after) columns.Add(($"least, median, most after {tokens}", r => Quantiles(r.After[tokens])));
        columns.Add(("made anew", r => $"{r.Remade:P0}"));
        ResultReport.Write(document, summary, [TableSection.Create<DriftRow>("", rows, columns, _ => Style.Plain)], arguments.GetValue(s_json), arguments.GetValue(s_markdown), null, _ => []);
        return 0;
    }

    // The drift after every step of tokens.
    private static double[] Drift(LlamaDecoder decoder, int[] begun, int[] next)
    {
        using var sequence = decoder.NewSequence();
        decoder.Prefill(sequence, begun);
        var text = ((OnlineDoubleSparsityPolicy)decoder.Policy).Texts;
        var result = new double[next.Length / Step];
        for (int i = 0; i < result.Length; i++)
        {
            decoder.DecodeRun(sequence, next.AsSpan(i * Step, Step));
            result[i] = text[^1].Calibration.Drift();
        }
        return result;
    }

    private static IEnumerable<(string Name, int[] Tokens)> Continuations(int[][] prose, int[][] others, string[] names, int text, int end, int most, RetrievalText retrieval, TextTokenizer tokenizer)
    {
        int[] own = prose[text];
        // as far from here as the text allows
        int elsewhere = end > own.Length / 2 ? (end - own.Length / 2) / 2 : Math.Min(own.Length - most, end + own.Length / 2);
        yield return ("the same text", own[end..(end + most)]);
        yield return ("the same text elsewhere", own[elsewhere..(elsewhere + most)]);
        for (int i = 0; i < prose.Length; i++)
            if (i != text) yield return ("another text", prose[i][..most]);
        yield return ("lines", retrieval.Lines(2 * most, 1).Context[..most]);
        var (context, question) = retrieval.PassKey(own, most - 64);
        yield return ("a pass key in the same text", ((int[])[.. context, .. question.Tokens, .. question.Answer, .. own])[..most]);
        var digits = new Random(end);
        yield return ("digits", tokenizer.Encode(string.Join(' ', Enumerable.Range(0, most).Select(_ => digits.Next(10000, 100000))), addBos: false)[..most]);
        for (int i = 0; i < others.Length; i++) yield return (names[i], others[i][..most]);
    }

    private static int[] Tokens(TextTokenizer tokenizer, string file, int least)
    {
        int[] tokens = tokenizer.Encode(File.ReadAllText(file), addBos: false);
        return tokens.Length >= least ? tokens : throw new ArgumentException($"{file} has {tokens.Length:N0} tokens; {least:N0} are needed");
    }

    private static int HashCode(int seed, int text, int start) => (seed * 1000 + text) * 1000 + start;

    private static string Quantiles(double[] sorted) => $"{sorted[0]:0.000}, {sorted[sorted.Length / 2]:0.000}, {sorted[^1]:0.000}";
}
