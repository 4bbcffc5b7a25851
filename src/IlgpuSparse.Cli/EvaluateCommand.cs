using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Cli.Evaluations;
using IlgpuSparse.Compute;
using IlgpuSparse.Evaluation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse evaluate</c>: what sparse attention loses, on generated tasks and any text.</summary>
internal sealed class EvaluateCommand
{
    private const KvFormat StandardKvFormat = KvFormat.F16;

    /// <summary>How many tokens of a prompt take about as long as a decode step.</summary>
    private const double PromptTokensAStep = 8;

    private static readonly Option<string?> s_model = ModelOptions.Model();
    private static readonly Option<string[]> s_tasks = new("--task")
    {
        Description = """
            May be repeated; K stands for 1024:
              ppl:length=4096,tokens=256,windows=1   predicts the tokens after a prefilled text
              lines:length=4096,questions=100        asks for numbers out of a record of lines
              passkey:length=4096,keys=12            asks for a number hidden in prose
              longeval:file=PATH,cases=50            the lines of LongEval: a file of JSON lines with prompts and numbers
            """,
        DefaultValueFactory = _ => ["ppl", "lines", "passkey"],
        HelpName = "task[:settings]",
    };
    private static readonly Option<string[]> s_attention = new("--attention", "-a")
    {
        Description = "Attention as 'generate' takes it; may be repeated. Full attention is always measured too, to be compared with.",
        DefaultValueFactory = _ => ["double-sparsity"],
        HelpName = "method[:settings]",
    };
    private static readonly Option<string> s_budgets = new("--tokens") { Description = "Budgets of every --attention that names none, separated by commas.", DefaultValueFactory = _ => "1/16,1/64", HelpName = "1/n,..." };
    private static readonly Option<EvaluationSetup?> s_setup = NameOption.Create("--setup", "a: only the answer goes through sparse attention; b: the question too, which is what tells methods apart.", EvaluationSetup.B);
    private static readonly Option<string[]> s_text = new("--text") { Description = "Text for ppl and passkey; may be repeated. Default: 7,700 tokens of a novel that travels with the tool.", HelpName = "path" };
    private static readonly Option<int> s_seed = NumberOption.Create("--seed", "Seed of the generated texts.", 0, 1 << 20, 1);
    private static readonly Option<string?> s_channels = ModelOptions.Channels();
    private static readonly Option<KvFormat?> s_kvType = ModelOptions.KvType(StandardKvFormat);
    private static readonly Option<KvPrediction?> s_predict = NameOption.Create("--kv-predict", "Attend to the rows that --kv host would bring a layer ahead: trust, wherever K and V lie. With late, results are those of off.", KvPrediction.Off);
    private static readonly Option<float> s_recall = ModelOptions.KvRecall();
    private static readonly Option<int> s_look = NumberOption.Create("--look",
        "Look at every so manieth step for recall of attention and output error; 0 for none. Looking takes a few times as long as a step.", 0, 1 << 20, 32);
    private static readonly Option<string?> s_results = new("--results")
    {
        Description = "Every result is added to this file, and what it holds already is not measured again. Default: evaluation-ID.jsonl here, by model, texts and backend.",
        HelpName = "path",
    };
    private static readonly Option<string?> s_markdown = new("--markdown") { Description = "Write the table there as Markdown.", HelpName = "path" };
    private static readonly Option<string?> s_plot = new("--plot") { Description = "Write plots (PNG, SVG) over the bytes read into that directory.", HelpName = "directory" };
    private static readonly Option<string> s_backend = ModelOptions.Backend();
    private static readonly Option<int> s_threads = ModelOptions.Threads();
    private static readonly Option<bool> s_json = ModelOptions.Json();

    private readonly ParseResult _arguments;

    private EvaluateCommand(ParseResult arguments) => _arguments = arguments;

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command("evaluate", """
            Measures what sparse attention loses: perplexity of a text, and retrieval of numbers from generated ones, each beside full attention on the same questions.
            The context is prefilled densely, what follows is fed token by token through the decoder. Interrupted, the same command goes on where it stopped.
            """)
        {
            s_model, s_tasks, s_attention, s_budgets, s_setup, s_text, s_seed, s_channels, s_kvType, s_predict, s_recall, s_look, s_results, s_markdown, s_plot, s_backend, s_threads, s_json,
        };
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => new EvaluateCommand(arguments).Run(cancellation)));
        return command;
    }

    private int Run(CancellationToken cancellation)
    {
        string path = _arguments.ModelPath(s_model);
        var setup = _arguments.GetValue(s_setup) ?? EvaluationSetup.B;
        var tasks = _arguments.GetValue(s_tasks)!.Select(EvaluationTask.Parse).Distinct().ToList();
        IReadOnlyList<AttentionOptions> attentions = Attentions();
        using var model = ModelFile.Open(path);
        var tokenizer = ModelOptions.Tokenizer(model, path);
        string[] files = _arguments.GetValue(s_text) is { Length: > 0 } given ? given : [EmbeddedModel.PromptPath];
        string[] prose = [.. files.Select(File.ReadAllText)];
        var texts = new EvaluationTexts(text => tokenizer.Encode(text, addBos: false), tokenizer.BosId, prose, _arguments.GetValue(s_seed));
        var work = tasks.Select(task => (Task: task, Items: texts.Items(task))).ToList();
        (attentions, var channels, string? channelsPath, string? reason) = ModelOptions.Calibrated(model, _arguments.GetValue(s_channels), attentions);
        if (reason is not null) ProgressConsole.Instance.WriteLine(reason);
        var options = new DecoderOptions
        {
            Capacity = work.SelectMany(w => w.Items).Max(i => i.Capacity),
            KvFormat = _arguments.GetValue(s_kvType) ?? StandardKvFormat,
            Channels = channels,
            KvPrediction = _arguments.GetValue(s_predict) == KvPrediction.Trust ? KvPrediction.Trust : KvPrediction.Off,
            KvLeastRecall = _arguments.GetValue(s_recall),
        };
        // what double sparsity attends to is another thing then
        string Named(AttentionOptions attention) => options.KvPrediction == KvPrediction.Trust && attention.Kind is (AttentionKind.DoubleSparsity or AttentionKind.Oracle)
            ? string.Create(CultureInfo.InvariantCulture, $"{attention} predicted from a recall of {options.KvLeastRecall}") : attention.ToString();
        if (options.Capacity > model.Config.MaxContext) ProgressConsole.Instance.WriteLine($"The model was made for {model.Config.MaxContext:N0} tokens; the longest prompt has {options.Capacity:N0}.");

        using var backend = ComputeBackends.Create(_arguments.GetValue(s_backend)!, _arguments.GetValue(s_threads));
        using var weights = LlamaWeights.Load(backend, model);
        var head = new ResultLog.Head(model.Fingerprint, Hash(Encoding.UTF8.GetBytes(string.Join('\0', prose))), backend.Name, options.KvFormat.ToString());
        string[] keys = [.. attentions.Select(a => Key(a, Named(a), channelsPath))];
        string results = _arguments.GetValue(s_results) ?? $"evaluation-{Hash(Encoding.UTF8.GetBytes(head.ToString()))[..8]}.jsonl";
        using var log = new ResultLog(results, head);
        using var evaluator = new Evaluator(backend, weights, options, attentions) { LookEvery = _arguments.GetValue(s_look) };
        var cells = work.SelectMany(w => w.Items).Select(item => (Item: item, Which: Enumerable.Range(0, attentions.Count).Where(a => log.Find(item, setup, keys[a]) is null).ToList()))
            .Where(c => c.Which.Count > 0).ToList();
        var document = new EvaluationDocument
        {
            Command = ResultReport.CommandLine(_arguments),
            Date = DateTime.UtcNow,
            Model = Path.GetFileName(path.TrimEnd('/')),
            Backend = backend.Name,
            Device = backend.Description,
            KvType = options.KvFormat.ToString().ToLowerInvariant(),
            Seed = _arguments.GetValue(s_seed),
            Rows = [],
        };
        ProgressConsole.Instance.WriteLine($"{document.Backend}: {document.Device}; results in {results}");
        bool cancelled = false;
        try
        {
            Measure(evaluator, cells, setup, (item, index, result) => log.Add(item, setup, keys[index], result), cancellation);
        }
        catch (OperationCanceledException)
        {
            // what was measured until now is still worth printing
            cancelled = true;
        }
        // of a task and attention that is incomplete there is no row: another sample would be compared with the others
        var rows = new List<EvaluationRow>();
        foreach (var (task, items) in work)
        {
            List<ItemResult> Results(string attention) => [.. items.Select(i => log.Find(i, setup, attention)).OfType<ItemResult>()];
            var dense = Results(keys[0]);
            for (int a = 0; a < attentions.Count && dense.Count == items.Count; a++)
            {
                var found = Results(keys[a]);
                double bits = 8.0 * evaluator.AuxiliaryBytesPerToken(a) / (model.Config.Layers * model.Config.KvHeads);
                double memory = evaluator.MemoryShare(a, (int)items.Average(i => i.Context.Length));
                if (found.Count == items.Count) rows.Add(EvaluationRow.Create(task, setup, Named(attentions[a]), bits, memory, found, dense));
            }
        }
        Report(document with { Rows = rows, Cancelled = cancelled });
        if (cancelled) ProgressConsole.Instance.WriteLine("cancelled: the same command goes on from here");
        return cancelled ? CommandGuard.Cancelled : 0;
    }

    // Full attention, then every --attention with every budget.
    private List<AttentionOptions> Attentions()
    {
        string[] budgets = BenchOptions.Parts(_arguments, s_budgets);
        var result = new List<AttentionOptions> { AttentionOptions.Dense };
        foreach (string text in _arguments.GetValue(s_attention)!)
        {
            var one = AttentionOptions.Parse(text);
            if (one.Kind == AttentionKind.Dense) continue;
            bool named = text[(text.IndexOf(':', StringComparison.Ordinal) + 1)..].Split(',').Any(p => p.TrimStart().StartsWith("tokens=", StringComparison.Ordinal));
            result.AddRange(named ? [one] : budgets.Select(b => AttentionOptions.Parse($"{text}{(text.Contains(':', StringComparison.Ordinal) ? ',' : ':')}tokens={b}")));
        }
        return [.. result.DistinctBy(a => a.ToString())];
    }

    private static void Measure(Evaluator evaluator, List<(EvaluationItem Item, List<int> Which)> cells, EvaluationSetup setup, Action<EvaluationItem, int, ItemResult> finished, CancellationToken cancellation)
    {
        double total = cells.Sum(c => c.Item.Context.Length / PromptTokensAStep + c.Which.Count * (double)c.Item.Questions.Sum(q => q.Tokens.Length + q.Answer.Length - 1)), done = 0;
        var clock = Stopwatch.StartNew();
        var errors = ProgressConsole.Instance;
        if (!errors.Profile.Capabilities.Interactive)
        {
            All((_, _) => { }, i => errors.WriteLine($"{i + 1}/{cells.Count} {cells[i].Item.Name}: {clock.Elapsed:h\\:mm\\:ss}, about {clock.Elapsed * (total / done - 1):h\\:mm\\:ss} left"));
            return;
        }
        errors.Progress().AutoClear(true).Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn()).Start(progress =>
        {
            var task = progress.AddTask("", maxValue: total);
            All((name, value) =>
            {
                task.Description = Markup.Escape(name);
                task.Value = value;
            }, _ => { });
        });

        void All(Action<string, double> advanced, Action<int> ended)
        {
            for (int i = 0; i < cells.Count; i++)
            {
                var (item, which) = cells[i];
                int prompt = item.Context.Length;
                evaluator.Run(item, setup, which, (index, result) => finished(item, index, result), tokens =>
                {
                    int prefilled = Math.Min(prompt, tokens);
                    prompt -= prefilled;
                    done += prefilled / PromptTokensAStep + (tokens - prefilled);
                    advanced(item.Name, done);
                }, cancellation);
                ended(i);
            }
        }
    }

    private void Report(EvaluationDocument document) => ResultReport.Write(
        document, document.Summary, EvaluationTable.Of(document.Rows), _arguments.GetValue(s_json), _arguments.GetValue(s_markdown), _arguments.GetValue(s_plot), directory => EvaluationPlots.Save(document, directory));

    // An attention as results of it are kept: with what is in the files that it reads.
    private static string Key(AttentionOptions attention, string name, string? channels)
    {
        string[] files = [.. new[] { attention.NeedsChannels ? channels : null, attention.MapPath, attention.PriorPath, attention.ComponentsPath }.OfType<string>()];
        return files.Length == 0 ? name : $"{name} with {string.Join(' ', files.Select(f => Hash(File.ReadAllBytes(f))))}";
    }

    private static string Hash(byte[] content) => Convert.ToHexStringLower(SHA256.HashData(content))[..16];
}
