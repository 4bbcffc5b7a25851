using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Chat;
using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Cli.Evaluations;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Evaluation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Model;

namespace IlgpuSparse.Tests.Evaluation;

/// <summary>Tasks, their texts, and results that are kept.</summary>
public sealed class EvaluationTests : IDisposable
{
    private static readonly string[] s_tasks = ["ppl:length=300,tokens=8,windows=2", "lines:length=400,questions=12", "passkey:length=350,keys=2"];

    private readonly int _seed = Random.Shared.Next(1 << 20);
    private readonly ModelFile _model = ModelFile.Open(TestFiles.Model);
    private readonly TextTokenizer _tokenizer;
    private readonly string _prose = File.ReadAllText(Path.Combine(Path.GetDirectoryName(TestFiles.Model)!, "prompt.txt"));

    public EvaluationTests() => _tokenizer = TextTokenizer.Create(_model.Tokenizer!);

    [Fact]
    public void Lines_of_one_method_are_named_by_what_tells_them_apart()
    {
        var names = EvaluationPlots.Names(["dense", "quest:page=16", "double-sparsity:label=rotated,label-bits=64,mean-value=on", "double-sparsity:label=rotated,label-bits=32,mean-value=on", "streaming", "streaming:positions=cache"]);
        Assert.Equal(["dense", "quest:page=16", "double-sparsity:label-bits=64", "double-sparsity:label-bits=32", "streaming", "streaming:positions=cache"], names.Values);
    }

    [Fact]
    public void The_same_seed_gives_the_same_items_and_another_seed_others()
    {
        foreach (var task in s_tasks.Select(EvaluationTask.Parse))
        {
            var items = Texts(_seed).Items(task);
            Assert.Equal(items.Select(Flat), Texts(_seed).Items(task).Select(Flat));
            if (task.Kind != EvaluationKind.Perplexity) Assert.NotEqual(items.Select(Flat), Texts(_seed + 1).Items(task).Select(Flat));
            Assert.Equal(items.Count, items.Select(i => i.Name).Distinct().Count());
            Assert.All(items, i => Assert.Equal(_tokenizer.BosId, i.Context[0]));
        }
        static string Flat(EvaluationItem item) => $"{item.Name}: {string.Join(' ', item.Context)}; {string.Join("; ", item.Questions.Select(q => $"{string.Join(' ', q.Tokens)} > {string.Join(' ', q.Answer)}"))}";
    }

    [Fact]
    public void Parts_are_tokenised_one_by_one_and_answers_are_in_the_context()
    {
        foreach (string text in s_tasks[1..])
        {
            var task = EvaluationTask.Parse(text);
            foreach (var item in Texts(_seed).Items(task))
            {
                Assert.InRange(item.Context.Length, task.Length - EvaluationTask.QuestionRoom - 40, task.Length - EvaluationTask.QuestionRoom);
                foreach (var question in item.Questions)
                {
                    string asked = _tokenizer.Decode(question.Tokens), context = _tokenizer.Decode(item.Context), answer = _tokenizer.Decode(question.Answer);
                    // with the space that the tokenizer puts before each part
                    Assert.Equal(question.Tokens, _tokenizer.Encode(asked.StartsWith(' ') ? asked[1..] : asked, addBos: false));
                    string number = new([.. answer.Where(char.IsAsciiDigit)]);
                    Assert.Equal(5, number.Length);
                    Assert.Equal(Encode(number).Concat(Encode(task.Kind == EvaluationKind.Lines ? ">." : ".")), question.Answer);
                    Assert.Contains(number, context);
                }
            }
        }
        int[] Encode(string part) => _tokenizer.Encode(part, addBos: false);
    }

    [Theory]
    [InlineData("ppl:length=4096,tokens=256,windows=1", "ppl")]
    [InlineData("lines:length=8192,questions=400", "lines:length=8K,questions=400")]
    [InlineData("passkey:length=4096,keys=12", "passkey")]
    public void Tasks_have_a_string_form(string full, string given)
    {
        Assert.Equal(full, EvaluationTask.Parse(given).ToString());
        Assert.Equal(full, EvaluationTask.Parse(full).ToString());
    }

    [Theory]
    [InlineData("needle")]
    [InlineData("lines:questions=0")]
    [InlineData("lines:keys=3")]
    [InlineData("ppl:length=")]
    [InlineData("ppl:length=1M")]
    [InlineData("passkey:length=99999999999K")]
    public void Nonsense_is_refused(string text) => Assert.NotEmpty(Assert.Throws<FormatException>(() => EvaluationTask.Parse(text)).Message);

    [Fact]
    public void Wilson_intervals_are_those_of_the_textbook()
    {
        var interval = ConfidenceInterval.Wilson(8, 10);
        Assert.Equal(0.4902, interval.Low, 1e-4);
        Assert.Equal(0.9433, interval.High, 1e-4);
        Assert.Equal(0, ConfidenceInterval.Wilson(0, 50).Low);
        Assert.Equal(1, ConfidenceInterval.Wilson(50, 50).High);
        // five differences with the mean 0.2 and the variance 0.7: 0.2 ± 1.96 · √(0.7 / 5)
        var paired = ConfidenceInterval.OfMean([1, 0, 1, -1, 0]);
        Assert.Equal(-0.5334, paired.Low, 1e-4);
        Assert.Equal(0.9334, paired.High, 1e-4);
    }

    [Fact]
    public void An_interrupted_grid_goes_on_to_the_same_table()
    {
        using var directory = new TemporaryDirectory();
        string whole = Path.Combine(directory.Path, "whole.jsonl"), cut = Path.Combine(directory.Path, "cut.jsonl");
        int measured = 0;
        string expected = Run(whole, null);
        int all = measured;

        // stopped after the third result, in the middle of writing the next
        measured = 0;
        Assert.Throws<OperationCanceledException>(() => Run(cut, 3));
        File.AppendAllText(cut, "{\"item\":\"li");
        Assert.Equal(expected, Run(cut, null));
        Assert.Equal(all, measured);
        Assert.Equal(File.ReadAllLines(whole).Order(), File.ReadAllLines(cut).Order());

        measured = 0;
        Assert.Equal(expected, Run(cut, null));
        Assert.Equal(0, measured);
        Assert.Throws<FormatException>(() => new ResultLog(cut, Head("another model")));

        string Run(string path, int? stopAfter)
        {
            AttentionOptions[] attentions = [AttentionOptions.Dense, AttentionOptions.DoubleSparsity, AttentionOptions.Quest];
            var work = s_tasks.Select(EvaluationTask.Parse).Select(t => (Task: t, Items: Texts(7).Items(t))).ToList();
            using var backend = new CpuBackend(1);
            using var weights = LlamaWeights.Load(backend, _model);
            using var log = new ResultLog(path, Head("this model"));
            using var evaluator = new Evaluator(backend, weights, new DecoderOptions { Capacity = work.SelectMany(w => w.Items).Max(i => i.Capacity), Channels = Map() }, attentions);
            int here = 0;
            foreach (var item in work.SelectMany(w => w.Items))
            {
                var missing = Enumerable.Range(0, attentions.Length).Where(a => log.Find(item, EvaluationSetup.B, attentions[a].ToString()) is null).ToList();
                if (missing.Count == 0) continue;
                evaluator.Run(item, EvaluationSetup.B, missing, (a, result) =>
                {
                    log.Add(item, EvaluationSetup.B, attentions[a].ToString(), result);
                    measured++;
                    if (++here == stopAfter) throw new OperationCanceledException();
                });
            }
            List<ItemResult> Results(IEnumerable<EvaluationItem> items, int a) => [.. items.Select(i => log.Find(i, EvaluationSetup.B, attentions[a].ToString())!)];
            return TableSection.ToMarkdown(EvaluationTable.Of([.. work.SelectMany(w => attentions.Select((a, i) =>
                EvaluationRow.Create(w.Task, EvaluationSetup.B, a.ToString(), evaluator.AuxiliaryBytesPerToken(i), evaluator.MemoryShare(i, 300), Results(w.Items, i), Results(w.Items, 0))))]));
        }

        static ResultLog.Head Head(string model) => new(model, "texts", "cpu", "F16");
    }

    [Fact]
    public void Losses_memory_and_fidelity_are_what_plain_steps_give()
    {
        string[] names = ["dense", "oracle:tokens=1/8", "oracle:tokens=1/2,top-p=0.8", "double-sparsity:tokens=1/16", "double-sparsity:tokens=1/8,mean-value=on", "streaming:tokens=1/8", "streaming:tokens=1/8,positions=cache", "quest:tokens=1/8,page=8",
            "sparq:tokens=1/8", "h2o:tokens=1/8", "double-sparsity-published:tokens=1/8"];
        AttentionOptions[] attentions = [.. names.Select(AttentionOptions.Parse)];
        var item = Texts(_seed).Items(EvaluationTask.Parse("lines:length=500,questions=1"))[0];
        var question = item.Questions[0];
        int[] fed = [.. question.Tokens, .. question.Answer[..^1]];
        using var backend = new CpuBackend(2);
        // Questions pass through the products in runs, here step by step: where K is rounded to half precision, one in some hundred texts has a page or a token selected that another rounding leaves out.
        var options = new DecoderOptions { Capacity = item.Capacity, Channels = Map(), KvFormat = KvFormat.F32 };
        using var weights = LlamaWeights.Load(backend, _model);
        using var evaluator = new Evaluator(backend, weights, options, attentions) { LookEvery = 1 };
        evaluator.Run(item, EvaluationSetup.B, Enumerable.Range(0, attentions.Length), (a, result) =>
        {
            using var decoder = new LlamaDecoder(backend, weights, options with { Attention = attentions[a] });
            using var sequence = decoder.NewSequence();
            decoder.Prefill(sequence, item.Context);
            var losses = new List<double>();
            long read = 0, dense = 0;
            for (int i = 0; i < fed.Length; i++)
            {
                read += decoder.Policy.BytesRead(sequence.Length);
                dense += decoder.DenseBytesRead(sequence.Length);
                var logits = decoder.Decode([sequence], [fed[i]]);
                double sum = 0;
                foreach (float x in logits) sum += Math.Exp(x);
                if (i + 1 >= question.Tokens.Length) losses.Add(Math.Log(sum) - logits[question.Answer[i + 1 - question.Tokens.Length]]);
            }
            Assert.All(losses.Zip(result.Questions[0].Losses), p => Assert.True(Math.Abs(p.First - p.Second) < 0.02 + 0.02 * p.First, $"seed {_seed}: {names[a]} {p.First} and {p.Second}"));
            Assert.Equal(dense, result.DenseBytesRead);
            Assert.Equal(fed.Length, result.Steps);
            bool endsEarly = attentions[a].Rule.TopP < 1;
            Assert.True(endsEarly ? result.BytesRead < read : result.BytesRead == read, names[a]);

            var fidelity = result.Fidelity!;
            Assert.Equal(fed.Length * _model.Config.Layers, fidelity.Samples);
            Assert.InRange(fidelity.MassRecall, 0, 1);
            if (a == 0) Assert.Equal((1.0, 1.0, 1.0), (fidelity.MassRecall, fidelity.TopRecall, fidelity.TokensRead));
            if (a == 0) Assert.InRange(fidelity.OutputError, 0, 1e-6);
            else Assert.InRange(fidelity.OutputError, 1e-4, 1.5);
            // the current token is forced in
            if (a == 1) Assert.InRange(fidelity.TopRecall, 0.98, 1);
            if (a is 1 or 3) Assert.InRange(fidelity.TokensRead, a == 1 ? 0.125 : 0.0625, a == 1 ? 0.128 : 0.066);
            if (a == 2) Assert.InRange(fidelity.MassRecall, 0.79, 1);
        });
        var shares = names.Select((_, a) => evaluator.MemoryShare(a, 400)).ToArray();
        Assert.Equal(1, shares[0]);
        Assert.Equal(1.25, shares[1]);
        Assert.Equal(1 + 128.0 / 8192, shares[3]);
        Assert.Equal(0.125, shares[5]);
        Assert.Equal(1.0625, shares[7]);
        Assert.Equal(0.125 * (1 + 32.0 / 8192), shares[9]);
        Assert.Equal(1 + 160.0 / 8192, shares[10]);
    }

    [Fact]
    public void The_rank_th_largest_is_that_of_a_sort()
    {
        var random = new Random(_seed);
        for (int length = 1; length < 60; length++)
        {
            float[] values = [.. Enumerable.Range(0, length).Select(_ => (float)random.Next(20))];
            for (int rank = 1; rank <= length; rank++) Assert.Equal(values.OrderDescending().ElementAt(rank - 1), AttentionProbe.Largest([.. values], rank));
        }
    }

    [Fact]
    public void Cases_of_LongEval_are_read_and_damaged_ones_refused_by_name()
    {
        using var directory = new TemporaryDirectory();
        string path = Path.Combine(directory.Path, "lines.jsonl");
        const string Case = """{"random_idx": ["rusty-anchor", 1], "expected_number": 39256, "prompt": "Below is a record.\n\nline calm-oven: REGISTER_CONTENT is <15>\nline rusty-anchor: REGISTER_CONTENT is <39256>\n\nNow the record is over. Tell me what is the <REGISTER_CONTENT> in line rusty-anchor? I need the number. "}""";
        File.WriteAllText(path, Case + "\n");
        var item = Texts(0).Items(EvaluationTask.Parse($"longeval:file={path},cases=1"))[0];
        Assert.Equal(_tokenizer.BosId, item.Context[0]);
        Assert.EndsWith("line rusty-anchor: REGISTER_CONTENT is <39256>\n", _tokenizer.Decode(item.Context));
        Assert.EndsWith("Tell me what is the <REGISTER_CONTENT> in line rusty-anchor? I need the number. The <REGISTER_CONTENT> in line rusty-anchor is <39256>",
            _tokenizer.Decode([.. item.Questions[0].Tokens, .. item.Questions[0].Answer]));
        Assert.Contains("39256", _tokenizer.Decode(item.Questions[0].Answer));
        Assert.Contains("2 were asked", Assert.Throws<FormatException>(() => Texts(0).Items(EvaluationTask.Parse($"longeval:file={path},cases=2"))).Message);
        File.AppendAllText(path, Case.Replace("Now the record", "Now a record") + "\n{\"prompt\": 3");
        foreach (int cases in new[] { 2, 3 })
            Assert.Contains($"{path}, case 2", Assert.Throws<FormatException>(() => Texts(0).Items(EvaluationTask.Parse($"longeval:file={path},cases={cases}"))).Message);
        Assert.Throws<FormatException>(() => EvaluationTask.Parse("longeval"));
        Assert.Throws<FormatException>(() => EvaluationTask.Parse("longeval:length=4K"));
    }

    [Theory]
    [InlineData(EvaluationSetup.A)]
    [InlineData(EvaluationSetup.B)]
    public void Asked_side_by_side_attentions_answer_as_each_does_alone(EvaluationSetup setup)
    {
        AttentionOptions[] attentions = [.. new[] { "dense", "double-sparsity:tokens=1/16", "oracle:tokens=1/16", "streaming:tokens=1/16", "quest:tokens=1/8", "sparq:tokens=1/16", "h2o:tokens=1/32", "h2o:tokens=1/16", "quest:tokens=1/16", "double-sparsity:tokens=1/64", "double-sparsity:tokens=1/8,sinks=2", "streaming:tokens=1/8,positions=cache", "double-sparsity-published:tokens=1/16" }.Select(AttentionOptions.Parse)];
        var item = Texts(_seed).Items(EvaluationTask.Parse("lines:length=500,questions=2"))[0];
        using var backend = new CpuBackend(1);
        using var weights = LlamaWeights.Load(backend, _model);
        var together = new ItemResult[attentions.Length];
        using (var evaluator = NewEvaluator(attentions)) evaluator.Run(item, setup, Enumerable.Range(0, attentions.Length), (a, result) => together[a] = result);
        for (int a = 0; a < attentions.Length; a++)
        {
            using var evaluator = NewEvaluator([attentions[a]]);
            evaluator.Run(item, setup, [0], (_, alone) =>
            {
                Assert.Equal(alone.Questions.SelectMany(q => q.Losses), together[a].Questions.SelectMany(q => q.Losses));
                Assert.Equal((alone.Steps, alone.BytesRead, alone.DenseBytesRead), (together[a].Steps, together[a].BytesRead, together[a].DenseBytesRead));
                int answers = item.Questions.Sum(q => q.Answer.Length - 1), questions = item.Questions.Sum(q => q.Tokens.Length);
                Assert.Equal(setup == EvaluationSetup.A ? answers : answers + questions, alone.Steps);
            });
        }
        Evaluator NewEvaluator(AttentionOptions[] some) => new(backend, weights, new DecoderOptions { Capacity = item.Capacity, Channels = Map() }, some);
    }

    public void Dispose() => _model.Dispose();

    private static ChannelMap Map() => ChannelMap.Load(Path.ChangeExtension(TestFiles.Model, ".channels.json"));

    private EvaluationTexts Texts(int seed) => new(text => _tokenizer.Encode(text, addBos: false), _tokenizer.BosId, [_prose], seed);
}
