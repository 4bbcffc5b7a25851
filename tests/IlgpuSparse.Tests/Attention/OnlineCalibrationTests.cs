using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Evaluation;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Attention;

/// <summary>Channel maps of texts: what they are made of, when they are made anew, and whose they are.</summary>
public sealed class OnlineCalibrationTests : IDisposable
{
    private readonly ModelFile _model = ModelFile.Open(TestFiles.Model);
    private readonly CpuBackend _backend = new();
    private readonly LlamaWeights _weights;
    private readonly int[] _prose;
    private readonly TextTokenizer _tokenizer;

    public OnlineCalibrationTests()
    {
        _weights = LlamaWeights.Load(_backend, _model);
        _tokenizer = TextTokenizer.Create(_model.Tokenizer!);
        _prose = _tokenizer.Encode(File.ReadAllText(Path.Combine(Path.GetDirectoryName(TestFiles.Model)!, "prompt.txt")));
    }

    /// <summary>Stretches of the prompt as kinds of text of an offline calibration over the same queries and keys; the offline sample has the queries that the text kept.</summary>
    [Fact]
    public void The_map_of_a_prompt_is_that_of_offline_calibration_on_its_tokens()
    {
        const int Stretches = 10;
        int[] prompt = _prose[..(Stretches * OnlineCalibration.SegmentTokens)];
        using var decoder = Decoder("label=rotated,label-bits=64,budgets=head", prefillChunk: OnlineCalibration.SegmentTokens);
        using (var sequence = decoder.NewSequence())
        {
            decoder.Prefill(sequence, prompt);
            Assert.Equal(0, decoder.Policy.CalibratedMaps); // no step needed it yet
            decoder.Decode([sequence], [prompt[0]]);
        }
        var text = Text(decoder);
        var made = text.Labels!.Map;

        var config = _weights.Config;
        ChannelStatistics[] stretches = [.. Enumerable.Range(0, Stretches).Select(_ => new ChannelStatistics(config))];
        var sample = new CalibrationSample(config, "prompt", OnlineCalibration.MostKeys);
        var whole = new ChannelStatistics(config);
        using (var dense = new LlamaDecoder(_backend, _weights, new DecoderOptions { Capacity = prompt.Length, PrefillChunk = OnlineCalibration.SegmentTokens }))
        {
            new Calibrator(dense).Gather(whole, prompt, sample, text.Calibration.Queries.Positions.Where(p => p < prompt.Length));
            dense.Observer = (layer, batch, q, k) => stretches[batch.HostPositions[0] / OnlineCalibration.SegmentTokens].Add(layer, batch.Rows,
                q.ToArray<float>(batch.Rows * config.Heads * config.HeadDim), k.ToArray<float>(batch.Rows * config.KvHeads * config.HeadDim));
            using var sequence = dense.NewSequence();
            dense.Prefill(sequence, prompt);
        }
        var ranked = ChannelStatistics.Rank(stretches, CalibrationStatistic.Variance, null);
        var moments = ChannelStatistics.Rank([whole], CalibrationStatistic.Variance, null);
        var fitted = new LabelFit([sample]).Run(ranked, search: false);
        for (int layer = 0; layer < config.Layers; layer++)
        {
            for (int head = 0; head < config.KvHeads; head++)
            {
                HeadChannels found = made[layer, head], offline = ranked[layer, head], directions = fitted[layer, head];
                Assert.Equal(offline.Ranking, found.Ranking);
                Assert.Equal(offline.Scores!.Select(MathF.Sqrt), found.Scores);
                for (int c = 0; c < config.HeadDim; c++)
                {
                    Assert.Equal(moments[layer, head].Mean![c], found.Mean![c], 1e-5f);
                    Assert.Equal(moments[layer, head].Deviation![c], found.Deviation![c], 1e-4f);
                }
                Assert.Equal(directions.Held, found.Held);
                Assert.Equal(directions.Basis!.Keys, found.Basis!.Keys);
                Assert.Equal(directions.Basis.Queries, found.Basis.Queries);
                Assert.Equal(directions.Basis.Mean, found.Basis.Mean);
                Assert.Equal(directions.Basis.Deviation, found.Basis.Deviation);
            }
        }
    }

    [Fact]
    public void A_prior_counts_as_much_as_the_text()
    {
        string path = Path.ChangeExtension(TestFiles.Model, ".channels.json");
        int[] prompt = _prose[..300];
        using var decoder = Decoder($"label=mixed,label-bits=64,prior={path}");
        Run(decoder, prompt, [5]);
        var whole = new ChannelStatistics(_weights.Config);
        using (var dense = new LlamaDecoder(_backend, _weights, Options("dense"))) new Calibrator(dense).Gather(whole, prompt);
        ChannelMap made = Text(decoder).Labels!.Map, prior = ChannelMap.Load(path), text = ChannelStatistics.Rank([whole], CalibrationStatistic.Variance, null);
        for (int layer = 0; layer < made.Layers; layer++)
            for (int head = 0; head < made.KvHeads; head++)
                for (int c = 0; c < made.HeadDim; c++) Assert.Equal(Math.Max(prior[layer, head].Scores![c], text[layer, head].Scores![c]), made[layer, head].Scores![c], 1e-5f);
    }

    /// <summary>Labels made from the K of the cache are those that the same map makes of keys as they come.</summary>
    [Theory]
    [InlineData("label=mixed,label-bits=64", 512)]
    [InlineData("label=rotated,label-bits=64", 512)]
    [InlineData("channels=48,bits=2", 100)]
    [InlineData("channels=32,bits=4,scaling=token,mean-value=on", 512)]
    public void Steps_are_those_of_a_decoder_that_had_the_map_from_the_start(string labels, int prefillChunk)
    {
        int[] prompt = _prose[..700], next = _prose[700..712];
        using var online = Decoder($"{labels},tokens=1/16", KvFormat.F32, prefillChunk: prefillChunk);
        float[][] found = Run(online, prompt, next);
        Assert.Equal(1, online.Policy.CalibratedMaps);
        using var offline = new LlamaDecoder(_backend, _weights, Options($"double-sparsity:{labels},tokens=1/16", KvFormat.F32, 1, prefillChunk) with { Channels = Text(online).Labels!.Map });
        float[][] expected = Run(offline, prompt, next);
        for (int i = 0; i < next.Length; i++) Assert.Equal(expected[i], found[i]);
    }

    /// <summary>A drift that is always too large: the map is made anew at every look, and attention to every token stays full attention.</summary>
    [Fact]
    public void Made_anew_labels_leave_full_attention_when_every_token_is_selected()
    {
        int[] prompt = _prose[..300], next = _prose[300..400];
        using var sparse = Decoder("label=mixed,label-bits=64,tokens=1/1,drift=0.0001", KvFormat.F32);
        using var dense = new LlamaDecoder(_backend, _weights, Options("dense", KvFormat.F32));
        float[][] expected = Run(dense, prompt, next), found = Run(sparse, prompt, next);
        Assert.Equal(1 + (next.Length - 1) / OnlineDoubleSparsityPolicy.CheckedTokens, sparse.Policy.CalibratedMaps);
        for (int i = 0; i < next.Length; i++) AssertClose(expected[i], found[i]);
    }

    /// <summary>Prose that goes on drifts less than prose that lines follow; a limit below what comes makes the map anew, one above never does, and the standard one tells the two apart.</summary>
    [Fact]
    public void Text_of_another_kind_makes_the_map_anew_and_more_of_the_same_does_not()
    {
        var retrieval = new RetrievalText(t => _tokenizer.Encode(t, addBos: false), 3);
        int[] prompt = _prose[..1500], more = _prose[1500..2012], lines = retrieval.Lines(800, 1).Context[..512];
        var (mostOfMore, mostOfLines) = (Drift("off", more), Drift("off", lines));
        double ofMore = mostOfMore.Drift, ofLines = mostOfLines.Drift;
        Assert.True(0 < ofMore && 1.5 * ofMore < ofLines && ofLines < 1, $"more of the same drifts by {mostOfMore}, lines by {mostOfLines}");
        Assert.Equal(1, Drift("off", lines).Maps);
        Assert.Equal(1, Drift(FormattableString.Invariant($"{1.5 * ofLines:0.0000}"), lines).Maps);
        Assert.True(Drift(FormattableString.Invariant($"{ofLines / 2:0.0000}"), lines).Maps > 1);
        double standard = AttentionOptions.Parse("double-sparsity:map=online").Drift;
        Assert.True(ofMore < standard && standard < ofLines, $"{ofMore} and {ofLines} are not on both sides of {standard}");

        (int Maps, double Drift, (double, double) Parts) Drift(string limit, int[] next)
        {
            using var decoder = new LlamaDecoder(_backend, _weights, Options($"double-sparsity:map=online,label=mixed,drift={limit}", sequences: 32));
            using var sequence = decoder.NewSequence();
            decoder.Prefill(sequence, prompt);
            for (int start = 0; start < next.Length; start += 32) decoder.DecodeRun(sequence, next.AsSpan(start, 32));
            return (decoder.Policy.CalibratedMaps, Text(decoder).Calibration.Drift(), Text(decoder).Calibration.DriftParts());
        }
    }

    [Fact]
    public void Runs_of_known_tokens_are_what_steps_are()
    {
        int[] prompt = _prose[..400], next = _prose[400..496];
        using var steps = Decoder("label=mixed,tokens=1/8,drift=0.0001", KvFormat.F32);
        float[][] expected = Run(steps, prompt, next);
        using var decoder = Decoder("label=mixed,tokens=1/8,drift=0.0001", KvFormat.F32, sequences: 32);
        using var sequence = decoder.NewSequence();
        decoder.Prefill(sequence, prompt);
        for (int start = 0; start < next.Length; start += 32)
        {
            float[] logits = decoder.DecodeRun(sequence, next.AsSpan(start, 32)).ToArray();
            for (int i = 0; i < 32; i++) AssertClose(expected[start + i], logits.AsSpan(i * expected[0].Length, expected[0].Length).ToArray());
        }
        Assert.Equal(steps.Policy.CalibratedMaps, decoder.Policy.CalibratedMaps);
    }

    [Fact]
    public void Sequences_of_a_batch_have_maps_of_their_own_and_forks_share_one()
    {
        var retrieval = new RetrievalText(t => _tokenizer.Encode(t, addBos: false), 3);
        int[][] prompts = [_prose[..600], retrieval.Lines(900, 1).Context[..500], _prose[2000..2030]], next = [_prose[600..608], _prose[608..616], _prose[2030..2038]];
        var alone = new List<float[][]>();
        for (int i = 0; i < prompts.Length; i++)
        {
            using var decoder = Decoder("label=mixed,tokens=1/16,mean-value=on");
            alone.Add(Run(decoder, prompts[i], next[i]));
        }
        using var together = Decoder("label=mixed,tokens=1/16,mean-value=on", sequences: 3);
        CacheSequence[] sequences = [.. prompts.Select(_ => together.NewSequence())];
        for (int i = 0; i < prompts.Length; i++) together.Prefill(sequences[i], prompts[i]);
        int vocabulary = _weights.Config.VocabularySize;
        for (int step = 0; step < next[0].Length; step++)
        {
            float[] logits = together.Decode(sequences, [.. next.Select(n => n[step])]).ToArray();
            for (int i = 0; i < prompts.Length; i++) AssertClose(alone[i][step], logits.AsSpan(i * vocabulary, vocabulary).ToArray());
        }
        // the third is too short for a map: it attends to every token
        Assert.Equal(2, together.Policy.CalibratedMaps);
        sequences[1].Dispose();
        using var fork = sequences[0].Fork(512);
        together.Prefill(fork, prompts[0].AsSpan(512));
        float[] both = together.Decode([sequences[0], fork], [5, 5]).ToArray();
        Assert.Equal(2, together.Policy.CalibratedMaps);
        Assert.Equal(2 * vocabulary, both.Length);
        foreach (var sequence in sequences) sequence.Dispose();
    }

    [Fact]
    public void A_sequence_that_is_taken_back_goes_on_as_before()
    {
        int[] prompt = _prose[..600], question = _prose[600..640], other = _prose[900..1000];
        using var decoder = Decoder("label=mixed,tokens=1/16,drift=0.0001");
        using var sequence = decoder.NewSequence();
        decoder.Prefill(sequence, prompt);
        decoder.Policy.Mark();
        float[][] first = Steps(decoder, sequence, question);
        foreach (int[] tokens in (int[][])[other, question])
        {
            sequence.Rewind(prompt.Length);
            decoder.Policy.Return();
            float[][] again = Steps(decoder, sequence, tokens);
            if (tokens == question)
                for (int i = 0; i < question.Length; i++) Assert.Equal(first[i], again[i]);
        }
        // without a mark, too, it goes on; another text in its place has a map of its own
        sequence.Rewind(100);
        decoder.Prefill(sequence, prompt.AsSpan(100));
        Assert.All(Steps(decoder, sequence, question), logits => Assert.All(logits, x => Assert.True(float.IsFinite(x))));
        int maps = decoder.Policy.CalibratedMaps;
        sequence.Rewind(0);
        decoder.Prefill(sequence, other);
        decoder.Decode([sequence], [7]);
        Assert.Equal(maps + 1, decoder.Policy.CalibratedMaps);
    }

    /// <summary>More texts than maps are kept for: one that comes back begins anew with the keys that it has.</summary>
    [Fact]
    public void Maps_are_bounded_and_texts_that_come_back_get_a_new_one()
    {
        using var decoder = Decoder("label=mixed,tokens=1/1", KvFormat.F32, capacity: 8 * 256);
        var sequences = new List<CacheSequence>();
        for (int i = 0; i < 6; i++)
        {
            sequences.Add(decoder.NewSequence());
            decoder.Prefill(sequences[i], _prose.AsSpan(200 * i, 100));
            decoder.Decode([sequences[i]], [9]);
        }
        long bytes = _backend.Memory.ByPurpose["labels"];
        float[] found = decoder.Decode([sequences[0]], [11]).ToArray();
        Assert.Equal(7, decoder.Policy.CalibratedMaps);
        Assert.Equal(bytes, _backend.Memory.ByPurpose["labels"]);
        using var dense = new LlamaDecoder(_backend, _weights, Options("dense", KvFormat.F32));
        AssertClose(Run(dense, _prose[..100], [9, 11])[1], found);
        foreach (var sequence in sequences) sequence.Dispose();
    }

    [Fact]
    public void State_files_are_refused_with_the_way_out()
    {
        using var decoder = Decoder("label=mixed");
        using var generator = new Generator(decoder);
        foreach (int _ in generator.Generate(_prose[..100], new GenerationOptions { MaxTokens = 3 })) { }
        Assert.Equal(1, generator.Statistics.CalibratedMaps);
        Assert.True(generator.Statistics.CalibrationSeconds > 0);
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        Assert.Contains("calibrate", Assert.Throws<NotSupportedException>(() => generator.SaveState(path, _model.Fingerprint)).Message, StringComparison.Ordinal);
        Assert.False(File.Exists(path));
    }

    /// <summary>Greedy texts beside others are what they are alone, traced or not; a prompt that begins like one of them starts from its blocks and map.</summary>
    [Fact]
    public async Task Texts_of_an_engine_are_what_they_are_alone()
    {
        int[][] prompts = [_prose[..600], _prose[3000..3550]];
        var greedy = new GenerationOptions { MaxTokens = 8, Sampling = new SamplingOptions { Temperature = 0 } };
        var alone = new List<int[]>();
        foreach (int[] prompt in prompts)
        {
            using var one = Decoder("label=mixed,dense-below=200");
            using var generator = new Generator(one);
            alone.Add([.. generator.Generate(prompt, greedy)]);
        }
        using var decoder = Decoder("label=mixed,dense-below=200", sequences: 2);
        using var engine = new GenerationEngine(decoder);
        var tickets = prompts.Select(p => engine.Submit(new GenerationRequest { Prompt = p, Options = greedy, TraceAttention = true }, TestContext.Current.CancellationToken)).ToList();
        for (int i = 0; i < tickets.Count; i++)
        {
            var tokens = new List<GeneratedToken>();
            await foreach (var token in tickets[i]) tokens.Add(token);
            Assert.Equal(alone[i], tokens.Select(t => t.Id));
            Assert.All(tokens[^1].Trace!.Heads, head => Assert.Equal((prompts[i].Length + 7 + 15) / 16, head.Positions!.Count));
        }
        var again = engine.Submit(new GenerationRequest { Prompt = [.. prompts[0], .. alone[0], 5, 6, 7], Options = greedy }, TestContext.Current.CancellationToken);
        await foreach (var _ in again) { }
        Assert.True(again.Statistics.ReusedTokens > 600);
        Assert.Equal(2, decoder.Policy.CalibratedMaps);
    }

    private static MappedText Text(LlamaDecoder decoder) => ((OnlineDoubleSparsityPolicy)decoder.Policy).Texts.Single();

    private LlamaDecoder Decoder(string settings, KvFormat format = KvFormat.F16, int sequences = 1, int prefillChunk = 512, int capacity = 3072) =>
        new(_backend, _weights, Options($"double-sparsity:map=online,{settings}", format, sequences, prefillChunk, capacity));

    private static DecoderOptions Options(string attention, KvFormat format = KvFormat.F16, int sequences = 1, int prefillChunk = 512, int capacity = 3072) =>
        new() { Capacity = capacity, KvFormat = format, Attention = AttentionOptions.Parse(attention), MaxSequences = sequences, PrefillChunk = prefillChunk };

    private static float[][] Run(LlamaDecoder decoder, int[] prompt, int[] next)
    {
        using var sequence = decoder.NewSequence();
        decoder.Prefill(sequence, prompt);
        return Steps(decoder, sequence, next);
    }

    private static float[][] Steps(LlamaDecoder decoder, CacheSequence sequence, int[] tokens) => [.. tokens.Select(t => decoder.Decode([sequence], [t]).ToArray())];

    private static void AssertClose(float[] expected, float[] found)
    {
        for (int i = 0; i < expected.Length; i++) Assert.True(Math.Abs(expected[i] - found[i]) < 5e-3, $"logit {i}: {expected[i]} and {found[i]}");
    }

    public void Dispose()
    {
        _weights.Dispose();
        _backend.Dispose();
        _model.Dispose();
        Assert.Equal(0, _backend.Memory.LiveBytes);
    }
}
